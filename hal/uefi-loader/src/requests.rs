//! Finding the kernel's requests in its loaded image, and answering them there.
//!
//! Everything is on 8-byte boundaries. A request is `id[4], revision, response, ...`; its response
//! field is the sixth word. Only what lies between the last start marker and the first end
//! marker counts, where markers are present (protocol, "Requests Delimiters"). Requests that this
//! loader does not know keep their response untouched, which tells the kernel "not supported".

use thiserror_no_std::Error;

const COMMON: [u64; 2] = [0xc7b1_dd30_df4c_8b88, 0x0a82_e883_a194_f07b];
const START: [u64; 4] =
    [0xf6b8_f4b3_9de7_d1ae, 0xfab9_1a69_40fc_b9cf, 0x785c_6ed0_15d3_e316, 0x181e_920a_7852_b9d9];
const END: [u64; 2] = [0xadc0_e053_1bb1_0d03, 0x9572_709f_3176_4c62];
const BASE_REVISION: [u64; 2] = [0xf956_2b2d_5c95_a6c8, 0x6a7b_3849_4453_6bdc];

/// Highest base revision this loader implements.
pub const HIGHEST: u64 = 3;
/// Lowest base revision this loader implements: 0 and 1 are deprecated and want an identity map.
pub const LOWEST: u64 = 2;

/// The features this loader answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the protocol's feature of that name")]
pub enum Feature {
    BootloaderInfo,
    ExecutableCmdline,
    FirmwareType,
    StackSize,
    Hhdm,
    Framebuffer,
    PagingMode,
    MemoryMap,
    EntryPoint,
    ExecutableFile,
    Module,
    Rsdp,
    Smbios,
    EfiSystemTable,
    EfiMemoryMap,
    DateAtBoot,
    ExecutableAddress,
}

const KNOWN: [(Feature, [u64; 2]); 17] = [
    (Feature::BootloaderInfo, [0xf550_38d8_e2a1_202f, 0x2794_26fc_f5f5_9740]),
    (Feature::ExecutableCmdline, [0x4b16_1536_e598_651e, 0xb390_ad4a_2f1f_303a]),
    (Feature::FirmwareType, [0x8c2f_75d9_0bef_28a8, 0x7045_a468_8eac_00c3]),
    (Feature::StackSize, [0x224e_f046_0a8e_8926, 0xe1cb_0fc2_5f46_ea3d]),
    (Feature::Hhdm, [0x48dc_f1cb_8ad2_b852, 0x6398_4e95_9a98_244b]),
    (Feature::Framebuffer, [0x9d58_27dc_d881_dd75, 0xa314_8604_f6fa_b11b]),
    (Feature::PagingMode, [0x95c1_a0ed_ab09_44cb, 0xa4e5_cb38_42f7_488a]),
    (Feature::MemoryMap, [0x67cf_3d9d_378a_806f, 0xe304_acdf_c50c_3c62]),
    (Feature::EntryPoint, [0x13d8_6c03_5a1c_d3e1, 0x2b0c_aa89_d8f3_026a]),
    (Feature::ExecutableFile, [0xad97_e90e_83f1_ed67, 0x31eb_5d1c_5ff2_3b69]),
    (Feature::Module, [0x3e7e_2797_02be_32af, 0xca1c_4f3b_d128_0cee]),
    (Feature::Rsdp, [0xc5e7_7b6b_397e_7b43, 0x2763_7845_accd_cf3c]),
    (Feature::Smbios, [0x9e90_46f1_1e09_5391, 0xaa4a_520f_efbd_e5ee]),
    (Feature::EfiSystemTable, [0x5ceb_a516_3eaa_f6d6, 0x0a69_8161_0cf6_5fcc]),
    (Feature::EfiMemoryMap, [0x7df6_2a43_1d68_72d5, 0xa4fc_dfb3_e573_06c8]),
    (Feature::DateAtBoot, [0x5027_46e1_84c0_88aa, 0xfbc5_ec83_e632_7893]),
    (Feature::ExecutableAddress, [0x71ba_7686_3cc5_5f63, 0xb264_4a48_c516_a487]),
];

/// Why an image's requests cannot be served. All of these are faults of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// No base revision tag: the kernel does not speak the protocol, or revision 0 of it.
    #[error("has no Limine base revision tag")]
    NoBaseRevision,
    /// A base revision that this loader no longer offers.
    #[error("asks for Limine base revision {0}; this loader offers {LOWEST} and {HIGHEST}")]
    OldBaseRevision(u64),
    /// Two base revision tags.
    #[error("has two Limine base revision tags")]
    TwoBaseRevisions,
    /// Two requests of one kind.
    #[error("asks twice for the same Limine feature ({0:?})")]
    Twice(Feature),
}

/// Where an image's requests are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requests {
    tag: usize,
    asked: u64,
    found: [Option<usize>; KNOWN.len()],
}

fn word(image: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(image.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn words_are(image: &[u8], at: usize, expected: &[u64]) -> bool {
    expected.iter().enumerate().all(|(n, value)| word(image, at + 8 * n) == Some(*value))
}

fn put(image: &mut [u8], at: usize, value: u64) {
    if let Some(target) = image.get_mut(at..at.saturating_add(8)) {
        target.copy_from_slice(&value.to_le_bytes());
    }
}

impl Requests {
    /// Looks through a loaded image.
    pub fn scan(image: &[u8]) -> Result<Self, RequestError> {
        let mut tag = None;
        let mut found = [None; KNOWN.len()];
        for at in (0..image.len()).step_by(8) {
            match word(image, at) {
                Some(first) if first == START[0] && words_are(image, at, &START) => {
                    tag = None;
                    found = [None; KNOWN.len()];
                }
                Some(first) if first == END[0] && words_are(image, at, &END) => break,
                Some(first) if first == BASE_REVISION[0] => {
                    let whole =
                        words_are(image, at, &BASE_REVISION) && word(image, at + 16).is_some();
                    if whole && tag.replace(at).is_some() {
                        return Err(RequestError::TwoBaseRevisions);
                    }
                }
                Some(first) if first == COMMON[0] && words_are(image, at, &COMMON) => {
                    // A request cut off by the end of the image is none.
                    if word(image, at + 40).is_none() {
                        continue;
                    }
                    for ((feature, id), slot) in KNOWN.iter().zip(&mut found) {
                        if words_are(image, at + 16, id) && slot.replace(at).is_some() {
                            return Err(RequestError::Twice(*feature));
                        }
                    }
                }
                _ => {}
            }
        }
        let tag = tag.ok_or(RequestError::NoBaseRevision)?;
        let asked = word(image, tag + 16).ok_or(RequestError::NoBaseRevision)?;
        if asked < LOWEST {
            return Err(RequestError::OldBaseRevision(asked));
        }
        Ok(Self { tag, asked, found })
    }

    /// The base revision the kernel is loaded with.
    pub fn revision(&self) -> u64 {
        self.asked.min(HIGHEST)
    }

    /// Tells the kernel which base revision it was granted.
    pub fn grant(&self, image: &mut [u8]) {
        put(image, self.tag + 8, self.revision());
        if self.asked <= HIGHEST {
            put(image, self.tag + 16, 0);
        }
    }

    fn at(&self, feature: Feature) -> Option<usize> {
        KNOWN.iter().zip(self.found).find(|(known, _)| known.0 == feature)?.1
    }

    /// Whether the kernel asked for `feature`.
    pub fn wants(&self, feature: Feature) -> bool {
        self.at(feature).is_some()
    }

    /// The revision of the kernel's request for `feature`.
    pub fn request_revision(&self, image: &[u8], feature: Feature) -> Option<u64> {
        word(image, self.at(feature)? + 32)
    }

    /// The `n`th word after the response field of the request for `feature`.
    pub fn field(&self, image: &[u8], feature: Feature, n: usize) -> Option<u64> {
        word(image, self.at(feature)? + 48 + 8 * n)
    }

    /// Sets the response of `feature`, if it was asked for, to a virtual address.
    pub fn respond(&self, image: &mut [u8], feature: Feature, address: u64) {
        if let Some(at) = self.at(feature) {
            put(image, at + 40, address);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// A request of revision 1.
    pub(crate) fn request(feature: Feature, rest: &[u64]) -> Vec<u64> {
        let id = KNOWN.iter().find(|known| known.0 == feature).unwrap().1;
        [&COMMON[..], &id, &[1, 0], rest].concat()
    }

    /// An image asking for `asked` and the given requests, between markers.
    pub(crate) fn image(asked: u64, requests: &[Vec<u64>]) -> Vec<u8> {
        let outside = request(Feature::Rsdp, &[]);
        let mut words = [&[1, 2, 3][..], &outside, &START, &BASE_REVISION, &[asked]].concat();
        requests.iter().for_each(|request| words.extend(request));
        bytes(&[&words[..], &END, &outside].concat())
    }

    #[test]
    fn honours_markers_and_answers() {
        let mut image =
            image(3, &[request(Feature::StackSize, &[0x8000]), request(Feature::Hhdm, &[])]);
        let requests = Requests::scan(&image).unwrap();
        assert_eq!(requests.revision(), 3);
        assert!(requests.wants(Feature::Hhdm) && !requests.wants(Feature::Rsdp));
        assert_eq!(requests.field(&image, Feature::StackSize, 0), Some(0x8000));
        requests.grant(&mut image);
        requests.respond(&mut image, Feature::Hhdm, 77);
        requests.respond(&mut image, Feature::Rsdp, 78);
        assert_eq!(word(&image, requests.tag + 8), Some(3));
        assert_eq!(word(&image, requests.tag + 16), Some(0));
        assert_eq!(word(&image, requests.at(Feature::Hhdm).unwrap() + 40), Some(77));
        assert_eq!(word(&image, (3 + 5) * 8), Some(0));
    }

    #[test]
    fn grants_what_it_can() {
        let mut newer = image(6, &[]);
        let requests = Requests::scan(&newer).unwrap();
        requests.grant(&mut newer);
        assert_eq!(requests.revision(), 3);
        assert_eq!(
            (word(&newer, requests.tag + 8), word(&newer, requests.tag + 16)),
            (Some(3), Some(6))
        );
        assert_eq!(Requests::scan(&image(2, &[])).unwrap().revision(), 2);
        assert_eq!(Requests::scan(&image(1, &[])), Err(RequestError::OldBaseRevision(1)));
        assert_eq!(Requests::scan(b"no tag here, none at all"), Err(RequestError::NoBaseRevision));
        let twice = [request(Feature::Hhdm, &[]), request(Feature::Hhdm, &[])];
        assert_eq!(Requests::scan(&image(3, &twice)), Err(RequestError::Twice(Feature::Hhdm)));
        let tags = [[&BASE_REVISION[..], &[3]].concat()];
        assert_eq!(Requests::scan(&image(3, &tags)), Err(RequestError::TwoBaseRevisions));
    }

    proptest! {
        #[test]
        fn never_panics(picks in proptest::collection::vec((0_usize..28, any::<u64>()), 0..200), cut in 0_usize..9) {
            let magic = |pick: usize, other: u64| match pick {
                0 => COMMON[0],
                1 => COMMON[1],
                2..=5 => START[pick - 2],
                6 | 7 => END[pick - 6],
                8 | 9 => BASE_REVISION[pick - 8],
                10..=26 => KNOWN[pick - 10].1[usize::from(other & 1 == 1)],
                _ => other,
            };
            let words: Vec<u64> = picks.iter().map(|&(pick, other)| magic(pick, other)).collect();
            let mut image = bytes(&words);
            image.truncate(image.len().saturating_sub(cut));
            if let Ok(requests) = Requests::scan(&image) {
                requests.grant(&mut image);
                for (feature, _) in KNOWN {
                    requests.respond(&mut image, feature, 1);
                    let _ = requests.field(&image, feature, 3);
                }
            }
        }
    }
}
