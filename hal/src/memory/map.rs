//! The loader's memory map made trustworthy.
//!
//! Firmware maps overlap, lie unaligned, have empty entries and entries beyond what the CPU can
//! address. [`MemoryMap::sanitise`] turns any list into one that is sorted, disjoint, in whole
//! frames and below the CPU's physical width. Where regions overlap, the most restrictive use wins;
//! memory that may be handed out is rounded inward, all other outward, and a frame the loader only
//! partly holds is nobody's. Frame 0 is never handed out.

use crate::boot::{MAX_REGIONS, MemoryRegion, RegionKind};

use super::{FRAME_SIZE, FrameNumber};

/// Places where the use of memory may change: four a region (outward and inward), and frame 0's.
const EDGES: usize = 4 * MAX_REGIONS + 2;

/// A run of frames with one use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameRange {
    /// First frame.
    pub first: FrameNumber,
    /// One past the last frame.
    pub end: FrameNumber,
    /// What the frames are used for.
    pub kind: RegionKind,
}

impl FrameRange {
    const EMPTY: Self =
        Self { first: FrameNumber(0), end: FrameNumber(0), kind: RegionKind::Usable };

    /// Frames in the range.
    pub const fn count(&self) -> u64 {
        self.end.0 - self.first.0
    }
    /// Whether the frame lies in the range.
    pub fn contains(&self, frame: FrameNumber) -> bool {
        (self.first..self.end).contains(&frame)
    }
}

/// A sorted, disjoint list of frame ranges.
pub struct MemoryMap {
    ranges: [FrameRange; EDGES],
    count: usize,
    /// Used while sanitising only; too large for a stack.
    edges: [u64; EDGES],
}

impl MemoryMap {
    /// A map of nothing, for a static.
    #[allow(clippy::large_stack_arrays)]
    pub const fn empty() -> Self {
        Self { ranges: [FrameRange::EMPTY; EDGES], count: 0, edges: [0; EDGES] }
    }

    /// Builds the map in place of what this one held. `physical_bits` is the width of the CPU's
    /// physical addresses.
    pub fn sanitise(&mut self, regions: &[MemoryRegion], physical_bits: u32) {
        let limit = 1_u64 << (physical_bits.clamp(32, 52) - 12);
        let regions = &regions[..regions.len().min(MAX_REGIONS)];
        self.count = 0;

        // All places where the use may change, in order.
        let edges = 2 + 4 * regions.len();
        self.edges[..2].copy_from_slice(&[0, 1]);
        for (four, region) in self.edges[2..].chunks_exact_mut(4).zip(regions) {
            let (outward, inward) = (outward(region, limit), inward(region, limit));
            four.copy_from_slice(&[outward.0, outward.1, inward.0, inward.1]);
        }
        self.edges[..edges].sort_unstable();

        for index in 1..edges {
            let (first, end) = (self.edges[index - 1], self.edges[index]);
            if first == end {
                continue;
            }
            let strictest = regions
                .iter()
                .filter_map(|region| kind_within(region, first, end, limit))
                .max_by_key(|kind| strictness(*kind));
            let kind = match strictest {
                Some(_) if first == 0 => RegionKind::Reserved,
                Some(kind) => kind,
                None => continue,
            };
            self.push(FrameRange { first: FrameNumber(first), end: FrameNumber(end), kind });
        }
    }

    fn push(&mut self, range: FrameRange) {
        if let Some(last) = self.ranges[..self.count].last_mut()
            && last.kind == range.kind
            && last.end == range.first
        {
            last.end = range.end;
            return;
        }
        // There are fewer ranges than edges.
        self.ranges[self.count] = range;
        self.count += 1;
    }

    /// The ranges in ascending order.
    pub fn ranges(&self) -> &[FrameRange] {
        &self.ranges[..self.count]
    }

    /// The ranges of one kind.
    pub fn of_kind(&self, kind: RegionKind) -> impl Iterator<Item = FrameRange> + '_ {
        self.ranges().iter().copied().filter(move |range| range.kind == kind)
    }

    /// What a frame is used for; `None` where the map has a hole (devices, or nothing).
    pub fn kind_of(&self, frame: FrameNumber) -> Option<RegionKind> {
        let after = self.ranges().partition_point(|range| range.first <= frame);
        let range = self.ranges()[..after].last()?;
        range.contains(frame).then_some(range.kind)
    }

    /// Whether any frame of `first..end` is memory the kernel hands out, runs in, or firmware
    /// keeps: nothing a device window may cover.
    pub fn overlaps_memory(&self, first: FrameNumber, end: FrameNumber) -> bool {
        self.ranges().iter().any(|range| {
            range.first < end
                && first < range.end
                && matches!(
                    range.kind,
                    RegionKind::Usable
                        | RegionKind::LoaderReclaimable
                        | RegionKind::KernelAndModules
                        | RegionKind::AcpiReclaimable
                        | RegionKind::AcpiNvs
                )
        })
    }
}

/// The frames a region touches, below `limit`.
fn outward(region: &MemoryRegion, limit: u64) -> (u64, u64) {
    let size = FRAME_SIZE as u64;
    let first = (region.start.0 / size).min(limit);
    let end = if region.length == 0 { first } else { region.end().0.div_ceil(size) };
    (first, end.clamp(first, limit))
}

/// The frames a region fills, below `limit`.
fn inward(region: &MemoryRegion, limit: u64) -> (u64, u64) {
    let size = FRAME_SIZE as u64;
    let first = region.start.0.div_ceil(size).min(limit);
    (first, (region.end().0 / size).clamp(first, limit))
}

/// What a region says about the frames `first..end`, between whose edges it does not change.
fn kind_within(region: &MemoryRegion, first: u64, end: u64, limit: u64) -> Option<RegionKind> {
    let covers = |(start, stop): (u64, u64)| start <= first && end <= stop;
    let filled = covers(inward(region, limit));
    match region.kind {
        RegionKind::Usable => filled.then_some(RegionKind::Usable),
        RegionKind::LoaderReclaimable if filled => Some(RegionKind::LoaderReclaimable),
        RegionKind::LoaderReclaimable => {
            covers(outward(region, limit)).then_some(RegionKind::Reserved)
        }
        kind => covers(outward(region, limit)).then_some(kind),
    }
}

/// The order of [`RegionKind`]s when regions overlap.
fn strictness(kind: RegionKind) -> u8 {
    match kind {
        RegionKind::Usable => 0,
        RegionKind::LoaderReclaimable => 1,
        RegionKind::AcpiReclaimable => 2,
        RegionKind::AcpiNvs => 3,
        RegionKind::Framebuffer => 4,
        RegionKind::Reserved => 5,
        RegionKind::KernelAndModules => 6,
        RegionKind::Bad => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::PhysAddr;
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::vec::Vec;

    const KINDS: [RegionKind; 8] = [
        RegionKind::Usable,
        RegionKind::LoaderReclaimable,
        RegionKind::AcpiReclaimable,
        RegionKind::AcpiNvs,
        RegionKind::KernelAndModules,
        RegionKind::Framebuffer,
        RegionKind::Bad,
        RegionKind::Reserved,
    ];

    fn region(start: u64, length: u64, kind: RegionKind) -> MemoryRegion {
        MemoryRegion { start: PhysAddr(start), length, kind }
    }

    fn sanitised(regions: &[MemoryRegion], bits: u32) -> Box<MemoryMap> {
        let mut map = Box::new(MemoryMap::empty());
        map.sanitise(regions, bits);
        map
    }

    #[test]
    fn an_overlap_goes_to_the_stricter_use() {
        let map = sanitised(
            &[
                region(0, 0x10000, RegionKind::Usable),
                region(0x3800, 0x1000, RegionKind::Reserved),
                region(0x8000, 0, RegionKind::Bad),
            ],
            36,
        );
        let usable: Vec<_> =
            map.of_kind(RegionKind::Usable).map(|r| (r.first.0, r.end.0)).collect();
        assert_eq!(usable, [(1, 3), (5, 16)]);
        assert_eq!(map.kind_of(FrameNumber(4)), Some(RegionKind::Reserved));
        assert_eq!(map.kind_of(FrameNumber(16)), None);
    }

    fn any_region() -> impl Strategy<Value = MemoryRegion> {
        let small = (0_u64..0x4_0000, 0_u64..0x1_0000);
        let wild = (any::<u64>(), any::<u64>());
        (prop_oneof![4 => small, 1 => wild], 0..KINDS.len())
            .prop_map(|((start, length), kind)| region(start, length, KINDS[kind]))
    }

    proptest! {
        #[test]
        fn any_map_becomes_sorted_disjoint_and_safe(
            regions in prop::collection::vec(any_region(), 0..40),
            bits in 20_u32..64,
        ) {
            let map = sanitised(&regions, bits);
            let limit = 1_u64 << (bits.clamp(32, 52) - 12);
            for pair in map.ranges().windows(2) {
                prop_assert!(pair[0].end <= pair[1].first);
                prop_assert!(pair[0].end < pair[1].first || pair[0].kind != pair[1].kind);
            }
            for range in map.ranges() {
                prop_assert!(range.first < range.end && range.end.0 <= limit);
            }
            for range in map.of_kind(RegionKind::Usable) {
                prop_assert!(range.first.0 > 0);
                // Every byte is usable in some region and in no stricter one.
                let (start, end) = (range.first.start().0, range.end.start().0);
                for other in &regions {
                    if other.kind != RegionKind::Usable && other.length > 0 {
                        prop_assert!(other.end().0 <= start || other.start.0 >= end,
                            "{other:?} in {range:?}");
                    }
                }
            }
            // A frame that one usable region covers and nothing else touches is kept.
            for frame in 1_u64..0x50 {
                let (start, end) = (frame * 4096, (frame + 1) * 4096);
                let touching: Vec<_> = regions.iter()
                    .filter(|r| r.length > 0 && r.start.0 < end && r.end().0 > start).collect();
                if let [only] = touching[..]
                    && only.kind == RegionKind::Usable && only.start.0 <= start && end <= only.end().0 {
                    prop_assert_eq!(map.kind_of(FrameNumber(frame)), Some(RegionKind::Usable));
                }
            }
        }
    }
}
