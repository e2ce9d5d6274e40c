//! What a frame wants done while it is sent, as the device is told it.

use protocols::e1000::{Context, SEGMENTED_MOST, Segments};

use crate::net::Frame;

/// The longest frame, and the longest with a VLAN tag.
pub(super) const FRAME_MOST: usize = 1514;
const TAG_BYTES: usize = 4;
const HEADER_BYTES: usize = 14;
/// The longest frame that is cut into segments.
pub(super) const CUT_MOST: usize = 64 << 10;

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const VLAN: [u8; 2] = [0x81, 0x00];

/// The frame is too long or too short, or asks for what the device does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfit;

/// Which frames the device cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cuts {
    Ipv4,
    Both,
}

/// What the device has to be told before `frame`, if anything. Makes those fields of its headers
/// zero that the device fills in for each segment.
#[inline]
pub(super) fn context(frame: &mut Frame, cuts: Cuts) -> Result<Option<Context>, Unfit> {
    let bytes = frame.len();
    if bytes < HEADER_BYTES {
        return Err(Unfit);
    }
    if frame.offload.segment_bytes != 0 {
        return segments(frame, cuts).map(Some);
    }
    if bytes > FRAME_MOST && !(is_tagged(frame) && bytes <= FRAME_MOST + TAG_BYTES) {
        return Err(Unfit);
    }
    let Some(sum) = frame.offload.checksum else { return Ok(None) };
    let (start, field) = places(frame, sum)?;
    Ok(Some(Context { ip: None, start, field, segments: None }))
}

fn is_tagged(frame: &Frame) -> bool {
    frame.bytes().get(12..14) == Some(&VLAN)
}

/// Where a checksum of TCP or UDP begins and is. The device has a byte for each.
fn places(frame: &Frame, sum: crate::net::ChecksumField) -> Result<(u8, u8), Unfit> {
    let (start, field) = (u8::try_from(sum.start), u8::try_from(sum.field));
    let (start, field) = (start.map_err(|_| Unfit)?, field.map_err(|_| Unfit)?);
    let fits = usize::from(start) >= HEADER_BYTES
        && start < field
        && usize::from(field) + 2 <= frame.len();
    if fits { Ok((start, field)) } else { Err(Unfit) }
}

fn segments(frame: &mut Frame, cuts: Cuts) -> Result<Context, Unfit> {
    let bytes = frame.len();
    let sum = frame.offload.checksum.ok_or(Unfit)?;
    let (start, field) = places(frame, sum)?;
    let segment_bytes = frame.offload.segment_bytes;
    let header_bytes = u8::try_from(frame.offload.header_bytes).map_err(|_| Unfit)?;
    let header = usize::from(header_bytes);
    let tag = if is_tagged(frame) { TAG_BYTES } else { 0 };
    let fits = bytes <= CUT_MOST
        && usize::from(field) + 2 <= header
        && header < bytes
        && header + usize::from(segment_bytes) <= FRAME_MOST + tag;
    if !fits {
        return Err(Unfit);
    }
    let payload_bytes = (bytes - header).min(SEGMENTED_MOST) as u32;
    let ip = ip_header(frame.bytes_mut(), HEADER_BYTES + tag, usize::from(start), cuts)?;
    let segments = Segments { payload_bytes, header_bytes, segment_bytes };
    Ok(Context { ip, start, field, segments: Some(segments) })
}

/// The IP header between `at` and `end`: zero where the device writes lengths and checksums. For
/// IPv4, where it begins, has its checksum, and ends.
fn ip_header(
    bytes: &mut [u8],
    at: usize,
    end: usize,
    cuts: Cuts,
) -> Result<Option<(u8, u8, u16)>, Unfit> {
    let kind = bytes.get(at - 2..at).ok_or(Unfit)?;
    let (is_ipv4, is_ipv6) = (kind == IPV4, kind == IPV6 && cuts == Cuts::Both);
    let header = bytes.get_mut(at..end).ok_or(Unfit)?;
    if is_ipv4 && header.len() >= 20 {
        for place in [2..4, 10..12] {
            header.get_mut(place).ok_or(Unfit)?.fill(0);
        }
        let (start, field) = (at as u8, at as u8 + 10);
        Ok(Some((start, field, (end - 1) as u16)))
    } else if is_ipv6 && header.len() >= 40 {
        header.get_mut(4..6).ok_or(Unfit)?.fill(0);
        Ok(None)
    } else {
        Err(Unfit)
    }
}
