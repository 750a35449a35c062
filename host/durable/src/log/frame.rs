//! The bytes of a segment: its header and the frames of its records. Little-endian throughout. Where segments lie and
//! when they are flushed is not known here.
//!
//! A frame is: length of the whole frame (u32), CRC-32C (u32), kind (u8), version (u8), zero (u16), `unflushed` (u32),
//! payload. The checksum covers the frame's position in the log as well, so a frame in a wrong place is not taken for
//! good. `unflushed` tells how many bytes before this frame were not known to be on the medium when it was framed: with
//! it a damaged record that had been flushed is told apart from the torn end of a write.

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER: usize = 24;
/// Bytes of a frame before its payload.
pub(super) const FRAME_HEADER: usize = 16;
/// The most bytes a payload may have. Larger data lies beside the log.
pub const MAX_PAYLOAD: usize = 16 * 1024 * 1024;
/// The format this code writes.
pub(super) const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"weft-log";

/// What a segment's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentHead {
    Good,
    /// Written by a version that this code does not know.
    Unknown(u32),
    Bad,
}

/// What stands at some place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Good {
        kind: u8,
        version: u8,
        unflushed: u32,
        length: usize,
    },
    /// Zeros: nothing was written here.
    Empty,
    /// Not a frame; `length` is what its first bytes claim, if that is possible at all.
    Bad {
        length: Option<usize>,
    },
}

pub(super) fn segment_header(base: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SEGMENT_HEADER);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&base.to_le_bytes());
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

pub(super) fn parse_segment_header(bytes: &[u8], base: u64) -> SegmentHead {
    let Some(format) = u32_at(bytes, 8) else { return SegmentHead::Bad };
    let sum_fits = bytes.get(..20).map(crc32c::crc32c) == u32_at(bytes, 20);
    if !bytes.starts_with(MAGIC) || !sum_fits {
        return SegmentHead::Bad;
    }
    if format != FORMAT {
        return SegmentHead::Unknown(format);
    }
    if bytes.starts_with(&segment_header(base)) { SegmentHead::Good } else { SegmentHead::Bad }
}

/// Appends the frame of a record that will stand at `position`. The payload is at most [`MAX_PAYLOAD`].
pub(super) fn encode(out: &mut Vec<u8>, position: u64, unflushed: u32, kind: u8, version: u8, payload: &[u8]) {
    let length = u32::try_from(FRAME_HEADER + payload.len()).unwrap_or(u32::MAX);
    let mut rest = [0; 8];
    let [k, v, _, _, u @ ..] = &mut rest;
    (*k, *v, *u) = (kind, version, unflushed.to_le_bytes());
    let sum = checksum(position, length, &rest, payload);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&rest);
    out.extend_from_slice(payload);
}

/// What a frame at `position` claims to be long, from its first bytes.
pub(super) fn claimed_length(bytes: &[u8]) -> Option<usize> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    (FRAME_HEADER..=FRAME_HEADER + MAX_PAYLOAD).contains(&length).then_some(length)
}

/// Judges `bytes`, which begin at `position` and hold the whole frame that they claim to be, if the segment has it.
pub(super) fn parse(bytes: &[u8], position: u64) -> Frame {
    if u32_at(bytes, 0).is_none_or(|length| length == 0) {
        return Frame::Empty;
    }
    let length = claimed_length(bytes);
    parse_full(bytes, position, length).unwrap_or(Frame::Bad { length })
}

fn parse_full(bytes: &[u8], position: u64, length: Option<usize>) -> Option<Frame> {
    let length = length?;
    let frame = bytes.get(..length)?;
    let rest: &[u8; 8] = frame.get(8..FRAME_HEADER)?.try_into().ok()?;
    let payload = frame.get(FRAME_HEADER..)?;
    let sum = checksum(position, u32::try_from(length).ok()?, rest, payload);
    let [kind, version, _, _, unflushed @ ..] = *rest;
    (u32_at(frame, 4)? == sum).then_some(Frame::Good {
        kind,
        version,
        unflushed: u32::from_le_bytes(unflushed),
        length,
    })
}

fn checksum(position: u64, length: u32, rest: &[u8; 8], payload: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&position.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, &length.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, rest);
    crc32c::crc32c_append(sum, payload)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_frame_and_a_header_do_not_change() {
        let mut bytes = Vec::new();
        encode(&mut bytes, 24, 7, 3, 1, b"hello");
        let golden = "1500000040ed80300301000007000000".to_owned() + &weft_core::id::hex(b"hello");
        assert_eq!(weft_core::id::hex(&bytes), golden);
        assert_eq!(parse(&bytes, 24), Frame::Good { kind: 3, version: 1, unflushed: 7, length: 21 });
        let header = segment_header(0x1000);
        assert_eq!(weft_core::id::hex(&header), "776566742d6c6f67010000000010000000000000f7e316ff");
        assert_eq!(parse_segment_header(&header, 0x1000), SegmentHead::Good);
        assert_eq!(parse_segment_header(&header, 0), SegmentHead::Bad);
    }

    #[test]
    fn every_changed_bit_is_seen() {
        let mut bytes = Vec::new();
        encode(&mut bytes, 24, 0, 1, 1, b"payload");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(parse(&damaged, 24), Frame::Bad { .. }), "bit {bit}");
        }
        assert!(matches!(parse(&bytes, 25), Frame::Bad { .. }), "a frame in a wrong place");
        for cut in 4..bytes.len() {
            assert!(matches!(parse(&bytes[..cut], 24), Frame::Bad { .. }), "cut at {cut}");
        }
        assert_eq!(parse(&[0; 64], 24), Frame::Empty);
    }
}
