//! Bytes that mean nothing, or almost something.

use super::group::{Group, HEAD_BYTES, Kind, put_record, records};
use super::*;
use proptest::prelude::*;

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn mark() -> impl Strategy<Value = Mark> {
    (0u64..1 << 40, 0u64..1 << 40, hash()).prop_map(|(place, sequence, hash)| Mark {
        place,
        sequence,
        hash,
    })
}

prop_compose! {
    fn header()(
        generation in 0u64..1 << 50,
        shift in 0u32..4,
        segments in 8u32..1000,
        opening: u32,
        partition: [u8; 16],
        log: [u8; 16],
        begin in mark(),
        blocks in 0u64..500,
        more in 0u64..500,
        hash in hash(),
    ) -> Header {
        let geometry =
            Geometry { block_size: 512 << shift, segment_blocks: 128 >> shift, segments };
        let head = Mark { place: begin.place + blocks.min(geometry.ring()), sequence: begin.sequence + more, hash };
        Header { generation, geometry, opening, partition: Guid(partition), log, begin, head }
    }
}

proptest! {
    #[test]
    fn a_header_is_read_back_and_damage_is_seen(header in header(), at: usize, bit in 0u8..8) {
        let mut block = header.encode();
        prop_assert_eq!(Header::new_checked(&block, header.slot()), Ok(header));
        prop_assert_eq!(Header::new_checked(&block, 1 - header.slot()), Err(HeaderFlaw::Slot));
        let at = at % block.len();
        block[at] ^= 1 << bit;
        prop_assert!(Header::new_checked(&block, header.slot()).is_err());
        block.resize(4096, 0);
        prop_assert!(Header::new_checked(&block, header.slot()).is_err());
    }

    #[test]
    fn numbers_that_cannot_be_are_no_header(header in header(), word in 16usize..37, value: u32) {
        let mut block = header.encode();
        block[word..word + 4].copy_from_slice(&value.to_le_bytes());
        let sum = crate::gpt::crc32(&block[12..]);
        block[8..12].copy_from_slice(&sum.to_le_bytes());
        if let Ok(read) = Header::new_checked(&block, header.slot()) {
            prop_assert!(read.geometry.is_sound());
            prop_assert!(read.head.place - read.begin.place <= read.geometry.ring());
        }
    }

    #[test]
    fn a_group_is_read_back_and_damage_is_seen(
        place: u64, sequence: u64, opening: u32, log: [u8; 16], before in hash(),
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..10),
        spare in 0u32..3, piece: bool, at: usize, bit in 0u8..8,
    ) {
        let mut content = Vec::new();
        parts.iter().for_each(|part| put_record(part, &mut content));
        let kind = if piece {
            Kind::Piece { number: 3, total: 9 }
        } else {
            Kind::Records(parts.len() as u32)
        };
        let blocks = (HEAD_BYTES + content.len()).div_ceil(512) as u32 + spare;
        let group = Group { kind, blocks, opening, log, place, sequence, before };
        let mut bytes = group.encode(&content, 512);
        prop_assert_eq!(bytes.len(), blocks as usize * 512);
        prop_assert_eq!(Group::new_checked(&bytes, 512), Ok((group, &content[..])));
        prop_assert_eq!(Group::claimed(&bytes), Some(group));
        let read: Vec<&[u8]> = records(&content, parts.len() as u32).unwrap().collect();
        prop_assert_eq!(read, parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert!(records(&content, parts.len() as u32 + 1).is_err());
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(Group::new_checked(&bytes, 512).is_err());
    }

    #[test]
    fn any_bytes(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        magic in 0usize..3, slot in 0usize..2, count: u32,
    ) {
        let mut bytes = bytes;
        if let Some(start) = bytes.first_chunk_mut::<8>() {
            match magic {
                0 => *start = *b"PLXCLOG1",
                1 => *start = *b"PLXGROUP",
                _ => {}
            }
        }
        // Without their sums right, no luck makes them anything.
        prop_assert!(Header::new_checked(&bytes, slot).is_err());
        for size in [512, 1024, 4096] {
            prop_assert!(Group::new_checked(&bytes, size).is_err());
        }
        let _ = Group::claimed(&bytes);
        if let Ok(all) = records(&bytes, count) {
            prop_assert_eq!(all.count(), count as usize);
        }
    }

    /// A whole partition of something else, with a log's beginnings strewn in.
    #[test]
    fn any_partition(
        seed: u64,
        header in header(),
        spots in proptest::collection::vec((0u64..128, any::<u32>(), any::<u8>()), 0..6),
    ) {
        let mut disk = Disk::new(512, 64 << 10);
        let mut bits = seed | 1;
        for byte in &mut disk.bytes {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (bits >> 33) as u8;
        }
        let geometry = Geometry::of(&disk.partition).unwrap();
        let head = Mark { place: header.begin.place + 20, ..header.head };
        let header = Header { geometry, partition: PARTITION, head, ..header };
        disk.put(geometry.header(header.slot()), &header.encode());
        for (block, blocks, opening) in spots {
            let group = Group {
                kind: Kind::Records(u32::from(opening)),
                blocks: 1 + blocks % 9,
                opening: opening.into(),
                log: header.log,
                place: header.begin.place,
                sequence: header.begin.sequence,
                before: header.begin.hash,
            };
            let bytes = group.encode(&[opening; 30], 512);
            if block + (bytes.len() as u64) / 512 <= 128 && block > 15 {
                disk.put(block, &bytes);
            }
        }
        prop_assert!(disk.recover().is_err());
    }

    /// Right sums, wrong content: whatever a group that fits says, it is refused or the log's own.
    #[test]
    fn records_that_cannot_follow_are_refused(content in proptest::collection::vec(any::<u8>(), 1..300), count in 0u32..4, piece: bool) {
        let mut disk = Disk::new(512, 64 << 10);
        let mut history = History::new(8);
        let mut writer = history.create(&disk);
        history.put_into(&mut writer);
        writer.sync();
        disk.run(&mut writer);
        let end = writer.head();
        let kind = if piece { Kind::Piece { number: 0, total: count } } else { Kind::Records(count) };
        let group = Group {
            kind, blocks: 1, opening: 1, log: writer.log(), place: end.place,
            sequence: end.sequence, before: end.hash,
        };
        disk.put(writer.geometry().block(end.place), &group.encode(&content, 512));
        match disk.recover() {
            Err(Refusal::Tampered(damage)) => prop_assert!(damage.sequence >= end.sequence),
            Ok(Found::Log(log)) => prop_assert!(piece && log.end == end && log.tail != Tail::Clean),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
