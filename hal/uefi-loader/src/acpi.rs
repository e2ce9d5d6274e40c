//! Just enough ACPI to find the IO APICs, whose interrupts must be masked at entry.
//!
//! RSDP → XSDT (or RSDT) → MADT → type 1 entries (ACPI 6.5, sections 5.2.5 to 5.2.12). Lengths come
//! from the firmware and are bounded here; a table that makes no sense is passed over.

/// Most IO APICs looked for.
pub const MAX_IO_APICS: usize = 16;
const LONGEST_TABLE: usize = 0x1_0000;
const HEADER: usize = 36;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn double(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// Physical addresses of the IO APICs. `read` gives bytes of physical memory.
pub fn io_apics<'m>(
    rsdp: u64,
    read: &dyn Fn(u64, usize) -> Option<&'m [u8]>,
) -> [Option<u64>; MAX_IO_APICS] {
    let mut found = [None; MAX_IO_APICS];
    if let Some(madt) = madt(rsdp, read) {
        let mut free = found.iter_mut();
        let mut rest = madt.get(44..).unwrap_or(&[]);
        while let &[kind, len, ..] = rest {
            if kind == 1
                && let Some(address) = word(rest, 4).filter(|at| *at != 0 && at.is_multiple_of(16))
                && let Some(slot) = free.next()
            {
                *slot = Some(u64::from(address));
            }
            rest = rest.get(usize::from(len.max(2))..).unwrap_or(&[]);
        }
    }
    found
}

fn table<'m>(at: u64, read: &dyn Fn(u64, usize) -> Option<&'m [u8]>) -> Option<&'m [u8]> {
    let len = word(read(at, HEADER)?, 4)? as usize;
    read(at, len.clamp(HEADER, LONGEST_TABLE))
}

fn madt<'m>(rsdp: u64, read: &dyn Fn(u64, usize) -> Option<&'m [u8]>) -> Option<&'m [u8]> {
    let root = read(rsdp, 20)?;
    if root.get(..8)? != b"RSD PTR " {
        return None;
    }
    let xsdt = if *root.get(15)? >= 2 { double(read(rsdp, 36)?, 24)? } else { 0 };
    let (root, width) = match xsdt {
        0 => (table(u64::from(word(root, 16)?), read)?, 4),
        address => (table(address, read)?, 8),
    };
    let pointers = root.get(HEADER..)?.chunks_exact(width);
    let address =
        |row: &[u8]| if width == 8 { double(row, 0) } else { word(row, 0).map(u64::from) };
    pointers.filter_map(|row| table(address(row)?, read)).find(|table| table.starts_with(b"APIC"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Physical memory from address 0: RSDP at 0x10, XSDT at 0x100, another table at 0x180, MADT at
    /// 0x200.
    fn memory() -> Vec<u8> {
        let mut memory = vec![0; 0x300];
        let mut put = |at: usize, bytes: &[u8]| memory[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x10, b"RSD PTR ");
        put(0x1f, &[2]);
        put(0x28, &0x100_u64.to_le_bytes());
        put(0x100, b"XSDT");
        put(0x104, &52_u32.to_le_bytes());
        put(0x124, &0x180_u64.to_le_bytes());
        put(0x12c, &0x200_u64.to_le_bytes());
        put(0x180, b"FACP");
        put(0x184, &40_u32.to_le_bytes());
        put(0x200, b"APIC");
        put(0x204, &76_u32.to_le_bytes());
        put(0x22c, &[0, 8, 0, 0, 1, 0, 0, 0]);
        put(0x234, &[1, 12, 0, 0, 0, 0, 0xc0, 0xfe]);
        put(0x240, &[1, 12, 1, 0, 0, 0, 0xc1, 0xfe]);
        memory
    }

    fn find(memory: &[u8]) -> Vec<u64> {
        let read = |at: u64, len: usize| memory.get(usize::try_from(at).ok()?..)?.get(..len);
        io_apics(0x10, &read).into_iter().flatten().collect()
    }

    #[test]
    fn finds_io_apics() {
        assert_eq!(find(&memory()), [0xfec0_0000, 0xfec1_0000]);
        assert_eq!(find(&[]), []);
    }

    proptest! {
        #[test]
        fn never_panics_or_hangs(changes in proptest::collection::vec((0_usize..0x300, any::<u8>()), 0..30)) {
            let mut memory = memory();
            for (at, value) in changes {
                memory[at] = value;
            }
            let _ = find(&memory);
        }
    }
}
