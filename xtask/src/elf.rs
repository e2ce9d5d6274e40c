//! Just enough ELF64 (System V gABI, chapters 4 and 5): the loadable part of a file, its
//! function symbols, and whether it is a program for this machine. Nothing here trusts the file.

use anyhow::{Context, Result, bail, ensure};

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const SECTION_HEADER: usize = 64;
const SYMBOL: usize = 24;
const PT_LOAD: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const STT_FUNC: u8 = 2;
const EM_X86_64: u16 = 62;

/// A checked view of an ELF64 little-endian x86-64 file.
pub struct Elf<'a> {
    bytes: &'a [u8],
}

/// A loadable segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where its bytes begin in the file.
    pub offset: usize,
    /// How many of them there are.
    pub file_size: usize,
    /// Where it goes in memory.
    pub address: u64,
    /// How much memory it takes, in bytes.
    pub memory_size: u64,
}

/// A function's symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Where the function begins.
    pub address: u64,
    /// Its name as the linker knows it.
    pub name: &'a str,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

fn size(bytes: &[u8], at: usize) -> Option<usize> {
    long(bytes, at).and_then(|value| usize::try_from(value).ok())
}

impl<'a> Elf<'a> {
    /// Checks the header.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self> {
        ensure!(bytes.len() >= HEADER && bytes.starts_with(b"\x7fELF"), "not an ELF file");
        ensure!(bytes[4..6] == [2, 1], "not a 64-bit little-endian ELF file");
        let machine = half(bytes, 18);
        ensure!(machine == Some(EM_X86_64), "not for x86-64 (machine {machine:?})");
        let kind = half(bytes, 16);
        ensure!(matches!(kind, Some(2 | 3)), "not an executable (type {kind:?})");
        Ok(Self { bytes })
    }

    /// The address of the first instruction.
    pub fn entry(&self) -> u64 {
        long(self.bytes, 24).unwrap_or(0)
    }

    fn table(&self, offset_at: usize, size_at: usize, least: usize) -> Result<Vec<&'a [u8]>> {
        let offset = size(self.bytes, offset_at).context("header cut short")?;
        let entry = half(self.bytes, size_at).map_or(0, usize::from);
        let count = half(self.bytes, size_at + 2).map_or(0, usize::from);
        if count == 0 {
            return Ok(Vec::new());
        }
        ensure!(entry >= least, "a header table has entries of {entry} bytes");
        let table = offset
            .checked_add(entry * count)
            .and_then(|end| self.bytes.get(offset..end))
            .context("a header table lies outside the file")?;
        Ok(table.chunks_exact(entry).collect())
    }

    /// The loadable segments, in file order.
    pub fn segments(&self) -> Result<Vec<Segment>> {
        let mut segments = Vec::new();
        for header in self.table(32, 54, PROGRAM_HEADER)? {
            if word(header, 0) != Some(PT_LOAD) {
                continue;
            }
            let segment = Segment {
                offset: size(header, 8).context("bad segment")?,
                file_size: size(header, 32).context("bad segment")?,
                address: long(header, 16).context("bad segment")?,
                memory_size: long(header, 40).context("bad segment")?,
            };
            let end = segment.offset.checked_add(segment.file_size);
            if end.is_none_or(|end| end > self.bytes.len()) {
                bail!("a segment lies outside the file");
            }
            segments.push(segment);
        }
        Ok(segments)
    }

    /// The file without sections, symbols and debug information: what a loader needs.
    pub fn stripped(&self) -> Result<Vec<u8>> {
        let segments = self.segments()?;
        ensure!(!segments.is_empty(), "nothing to load: no segments");
        let entry = self.entry();
        let inside = |segment: &Segment| {
            entry.checked_sub(segment.address).is_some_and(|offset| offset < segment.memory_size)
        };
        ensure!(segments.iter().any(inside), "the entry point {entry:#x} lies in no segment");
        let headers = size(self.bytes, 32).unwrap_or(0)
            + self.table(32, 54, PROGRAM_HEADER)?.len() * PROGRAM_HEADER;
        let end = segments.iter().map(|segment| segment.offset + segment.file_size).max();
        let mut out = self.bytes[..end.unwrap_or(0).max(headers)].to_vec();
        out[40..48].fill(0); // e_shoff
        out[58..64].fill(0); // e_shentsize, e_shnum, e_shstrndx
        Ok(out)
    }

    /// All functions that have a name and an address.
    pub fn functions(&self) -> Result<Vec<Symbol<'a>>> {
        let sections = self.table(40, 58, SECTION_HEADER)?;
        let contents = |header: &[u8]| {
            let start = size(header, 24)?;
            self.bytes.get(start..start.checked_add(size(header, 32)?)?)
        };
        let Some(table) = sections.iter().find(|header| word(header, 4) == Some(SHT_SYMTAB)) else {
            return Ok(Vec::new());
        };
        let symbols = contents(table).context("the symbol table lies outside the file")?;
        let link = word(table, 40).map_or(0, |link| link as usize);
        let names = sections
            .get(link)
            .and_then(|header| contents(header))
            .context("the symbol names lie outside the file")?;
        let mut functions = Vec::new();
        for symbol in symbols.chunks_exact(SYMBOL) {
            let address = long(symbol, 8).unwrap_or(0);
            let undefined = half(symbol, 6) == Some(0);
            if symbol[4] & 0xf != STT_FUNC || undefined || address == 0 {
                continue;
            }
            let name = word(symbol, 0).and_then(|start| names.get(start as usize..));
            let name = name.and_then(|rest| rest.split(|byte| *byte == 0).next());
            if let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok())
                && !name.is_empty()
            {
                functions.push(Symbol { address, name });
            }
        }
        Ok(functions)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A file of one segment (4 bytes, at 0x1000 in the file) and one function `_start`.
    pub fn sample() -> Vec<u8> {
        let mut file = vec![0; 0x1000];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(16, &2u16.to_le_bytes());
        put(18, &EM_X86_64.to_le_bytes());
        put(24, &0xffff_ffff_8000_0000u64.to_le_bytes());
        put(32, &64u64.to_le_bytes());
        put(40, &0x1100u64.to_le_bytes());
        put(54, &56u16.to_le_bytes());
        put(56, &1u16.to_le_bytes());
        put(58, &64u16.to_le_bytes());
        put(60, &3u16.to_le_bytes());
        put(64, &PT_LOAD.to_le_bytes());
        put(72, &0x1000u64.to_le_bytes());
        put(80, &0xffff_ffff_8000_0000u64.to_le_bytes());
        put(96, &4u64.to_le_bytes());
        put(104, &0x2000u64.to_le_bytes());
        file.extend(b"code");
        file.resize(0x1010, 0);
        file.extend(b"\0_start\0");
        file.resize(0x1020, 0);
        file.resize(0x1020 + SYMBOL, 0); // the null symbol
        let mut symbol = [0; SYMBOL];
        symbol[0] = 1;
        symbol[4] = 0x10 | STT_FUNC;
        symbol[6] = 1;
        symbol[8..16].copy_from_slice(&0xffff_ffff_8000_0000u64.to_le_bytes());
        file.extend(symbol);
        file.resize(0x1100, 0);
        file.resize(0x1100 + SECTION_HEADER, 0); // the null section
        for (kind, offset, length, link) in
            [(SHT_SYMTAB, 0x1020u64, 2 * SYMBOL as u64, 2u32), (3, 0x1010, 8, 0)]
        {
            let mut header = [0; SECTION_HEADER];
            header[4..8].copy_from_slice(&kind.to_le_bytes());
            header[24..32].copy_from_slice(&offset.to_le_bytes());
            header[32..40].copy_from_slice(&length.to_le_bytes());
            header[40..44].copy_from_slice(&link.to_le_bytes());
            file.extend(header);
        }
        file
    }

    #[test]
    fn finds_functions_and_strips_the_rest() {
        let file = sample();
        let elf = Elf::new_checked(&file).unwrap();
        assert_eq!(elf.entry(), 0xffff_ffff_8000_0000);
        let functions = elf.functions().unwrap();
        assert_eq!(functions, [Symbol { address: 0xffff_ffff_8000_0000, name: "_start" }]);
        let stripped = elf.stripped().unwrap();
        assert_eq!(stripped.len(), 0x1004);
        assert!(stripped.ends_with(b"code"));
        let stripped = Elf::new_checked(&stripped).unwrap();
        assert_eq!(stripped.segments().unwrap(), elf.segments().unwrap());
        assert!(stripped.functions().unwrap().is_empty());
    }

    #[test]
    fn refuses_other_files() {
        assert!(Elf::new_checked(b"#!/bin/sh").is_err());
        let mut other = sample();
        other[18] = 183;
        assert!(Elf::new_checked(&other).is_err());
    }

    #[test]
    fn survives_any_byte_changed_or_any_cut() {
        let file = sample();
        for at in (0..HEADER + PROGRAM_HEADER).chain(0x1010..file.len()) {
            for value in [0, 0xff, file[at] ^ 0x80] {
                let mut file = file.clone();
                file[at] = value;
                walk(&file);
            }
        }
        for end in (0..file.len()).step_by(7) {
            walk(&file[..end]);
        }
    }

    fn walk(file: &[u8]) {
        if let Ok(elf) = Elf::new_checked(file) {
            let _ = elf.stripped();
            let _ = elf.functions();
        }
    }
}
