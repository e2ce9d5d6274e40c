//! Tests of the responses: what the kernel would read by following the pointers.

use super::*;
use crate::memory_map::Kind;
use crate::requests::tests::{image, request};

const ARENA: u64 = HHDM + 0x100_0000;

fn facts<'a>(modules: &'a [File<'a>], modes: &'a [VideoMode]) -> Facts<'a> {
    let mode = VideoMode {
        width: 800,
        height: 600,
        pitch: 3200,
        bits: 32,
        masks: [(8, 16), (8, 8), (8, 0)],
    };
    Facts {
        version: "1.2",
        volume: Volume { partition: 1, mbr_disk: 7, gpt_disk: [1; 16], gpt_partition: [2; 16] },
        kernel_file: File { physical: 0x5000, len: 10, path: "/k", cmdline: "log=info" },
        modules,
        kernel_physical: 0x20_0000,
        kernel_virtual: 0xffff_ffff_8000_0000,
        framebuffer: Some(Framebuffer { physical: 0xc000_0000, mode, modes, edid: &[9; 128] }),
        rsdp: Some(0x7000),
        smbios: [None, Some(0x8000)],
        system_table: 0x9000,
        unix_seconds: Some(-1),
    }
}

/// The kernel's view: the response of the only request in `image`, then the arena by address.
fn ask(asked: u64, feature: Feature, rest: &[u64]) -> Result<(u64, Vec<u8>), ResponseError> {
    let mut image = image(asked, &[request(feature, rest)]);
    let requests = Requests::scan(&image).unwrap();
    let mut bytes = vec![0; 4096];
    let mut arena = Arena::new(&mut bytes, ARENA);
    let modules = [
        File { physical: 0xa000, len: 3, path: "/a", cmdline: "a" },
        File { physical: 0xb000, len: 4, path: "/b", cmdline: "" },
    ];
    let modes =
        [VideoMode { width: 640, height: 480, pitch: 2560, bits: 32, ..VideoMode::default() }; 2];
    answer(&requests, &mut image, &mut arena, &facts(&modules, &modes))?;
    let map = [
        Region { base: 0x1000, end: 0x5000, kind: Kind::Usable },
        Region { base: 0x5000, end: 0x6000, kind: Kind::ExecutableAndModules },
    ];
    let firmware_map = FirmwareMap { physical: 0xd000, len: 96, descriptor_len: 48, version: 1 };
    answer_memory_maps(&requests, &mut image, &mut arena, &map, firmware_map)?;
    // The response is the sixth word of the request, which begins after the marker and the tag.
    let at = (3 + 6 + 4 + 3 + 5) * 8;
    Ok((u64::from_le_bytes(image[at..at + 8].try_into().unwrap()), bytes))
}

fn word(bytes: &[u8], address: u64, n: u64) -> u64 {
    let at = usize::try_from(address - ARENA + 8 * n).unwrap();
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn text(bytes: &[u8], address: u64) -> &str {
    let rest = &bytes[usize::try_from(address - ARENA).unwrap()..];
    core::ffi::CStr::from_bytes_until_nul(rest).unwrap().to_str().unwrap()
}

#[test]
fn firmware_structures_follow_the_revision() {
    for (asked, offset) in [(2, HHDM), (3, 0), (4, 0)] {
        let (rsdp, bytes) = ask(asked, Feature::Rsdp, &[]).unwrap();
        assert_eq!(word(&bytes, rsdp, 1), 0x7000 + offset);
        let (smbios, bytes) = ask(asked, Feature::Smbios, &[]).unwrap();
        assert_eq!((word(&bytes, smbios, 1), word(&bytes, smbios, 2)), (0, 0x8000 + offset));
        let (table, bytes) = ask(asked, Feature::EfiSystemTable, &[]).unwrap();
        assert_eq!(word(&bytes, table, 1), 0x9000 + offset);
    }
}

#[test]
fn files() {
    let (response, bytes) = ask(3, Feature::Module, &[0, 0]).unwrap();
    assert_eq!((word(&bytes, response, 0), word(&bytes, response, 1)), (0, 2));
    let list = word(&bytes, response, 2);
    let second = word(&bytes, list, 1);
    assert_eq!((word(&bytes, second, 1), word(&bytes, second, 2)), (0xb000 + HHDM, 4));
    assert_eq!(text(&bytes, word(&bytes, second, 3)), "/b");
    assert_eq!(text(&bytes, word(&bytes, second, 4)), "");
    let (response, bytes) = ask(3, Feature::ExecutableFile, &[]).unwrap();
    let kernel = word(&bytes, response, 1);
    assert_eq!(text(&bytes, word(&bytes, kernel, 4)), "log=info");
    assert_eq!(word(&bytes, kernel, 7), 7 << 32 | 1);
    assert_eq!(word(&bytes, kernel, 9), 0x0101_0101_0101_0101);
    assert_eq!(word(&bytes, kernel, 10), 0x0202_0202_0202_0202);
    let (response, bytes) = ask(3, Feature::ExecutableCmdline, &[]).unwrap();
    assert_eq!(text(&bytes, word(&bytes, response, 1)), "log=info");
}

#[test]
fn screen() {
    let (response, bytes) = ask(3, Feature::Framebuffer, &[]).unwrap();
    assert_eq!((word(&bytes, response, 0), word(&bytes, response, 1)), (1, 1));
    let screen = word(&bytes, word(&bytes, response, 2), 0);
    assert_eq!(word(&bytes, screen, 0), 0xc000_0000 + HHDM);
    assert_eq!([1, 2, 3].map(|n| word(&bytes, screen, n)), [800, 600, 3200]);
    // bpp 32, model 1, red 8@16, green 8@8, blue 8@0.
    assert_eq!(word(&bytes, screen, 4), 0x0808_0810_0801_0020);
    assert_eq!(
        (word(&bytes, screen, 6), word(&bytes, word(&bytes, screen, 7), 0)),
        (128, 0x0909_0909_0909_0909)
    );
    assert_eq!(word(&bytes, screen, 8), 2);
    let second = word(&bytes, word(&bytes, screen, 9), 1);
    assert_eq!([0, 1, 2].map(|n| word(&bytes, second, n)), [2560, 640, 480]);
}

#[test]
fn memory_maps() {
    let (response, bytes) = ask(3, Feature::MemoryMap, &[]).unwrap();
    assert_eq!(word(&bytes, response, 1), 2);
    let second = word(&bytes, word(&bytes, response, 2), 1);
    assert_eq!([0, 1, 2].map(|n| word(&bytes, second, n)), [0x5000, 0x1000, 6]);
    let (response, bytes) = ask(3, Feature::EfiMemoryMap, &[]).unwrap();
    assert_eq!([1, 2, 3, 4].map(|n| word(&bytes, response, n)), [0xd000 + HHDM, 96, 48, 1]);
}

#[test]
fn what_cannot_be_given_is_refused() {
    let refused = |feature, fields: &[u64]| ask(3, feature, fields).err();
    assert_eq!(refused(Feature::PagingMode, &[1, 1, 1]), Some(ResponseError::PagingMode));
    assert_eq!(refused(Feature::PagingMode, &[1, 1, 0]), None);
    let plain = image(3, &[]);
    let requests = Requests::scan(&plain).unwrap();
    for room in 0..300 {
        let mut bytes = plain.clone();
        let mut space = vec![0; room];
        let mut arena = Arena::new(&mut space, ARENA);
        let _ = answer(&requests, &mut bytes, &mut arena, &facts(&[], &[]));
    }
    assert_eq!(stack_len(&requests, &plain), SMALLEST_STACK);
}
