//! Moving a command's data between a disk and memory.

use std::vec::Vec;

use hal::dma::DeviceAddress;
use hal::sim::{Bus, BusError};
use protocols::ahci::{Header, PRDT_OFFSET, Piece};

use super::disk::{Data, Disk};

pub(super) fn words<const N: usize>(bus: &mut Bus<'_>, address: u64) -> Result<[u64; N], BusError> {
    let mut bytes = std::vec![0; N * 8];
    bus.dma_read(DeviceAddress(address), &mut bytes)?;
    Ok(std::array::from_fn(|word| {
        u64::from_le_bytes(bytes[word * 8..word * 8 + 8].try_into().expect("eight"))
    }))
}

pub(super) enum Moved {
    All,
    Wrong,
}

/// Moves a command's data between the disk and memory.
pub(super) fn transfer(
    bus: &mut Bus<'_>,
    header: &Header,
    disk: &mut Disk,
    data: &Data,
) -> Result<Moved, BusError> {
    let Header { table, pieces, .. } = *header;
    let mut places = Vec::new();
    for piece in 0..u64::from(pieces) {
        places.push(Piece::read(words::<2>(bus, table + PRDT_OFFSET as u64 + piece * 16)?));
    }
    let bytes: u64 = places.iter().map(|piece| piece.bytes).sum();
    let expected = disk.bytes_of(data);
    let writes = matches!(data, Data::FromHost(_) | Data::Ranges);
    if bytes != expected as u64 || header.writes_device != writes {
        return Ok(Moved::Wrong);
    }
    let mut moved = std::vec![0; expected];
    if !writes {
        disk.read_out(data, &mut moved);
    }
    let mut rest = &mut moved[..];
    for piece in places {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(piece.bytes as usize);
        rest = after;
        let address = DeviceAddress(piece.address);
        if writes { bus.dma_read(address, part)? } else { bus.dma_write(address, part)? }
    }
    if writes {
        disk.write_in(data, &moved);
    }
    Ok(Moved::All)
}
