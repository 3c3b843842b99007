//! Bytes in a blob, as the OP Stack's encoding version 0 puts them: 127 bytes in four field elements.
//!
//! A blob is 4,096 field elements of 32 bytes, of which 254 bits are free. Four of them, a round,
//! hold 31 bytes each behind their first byte, and three more bytes `x`, `y` and `z` in the lower six
//! bits of their first bytes. The stream of 1,024 rounds begins with the version (0) and the length
//! (u24, big-endian), and ends in zeros. So every content has one blob, and no element reaches the
//! field's modulus.

use alloy_eips::eip4844::{BYTES_PER_BLOB, Blob};
use alloy_primitives::Bytes;

const ROUND: usize = 127;
const ROUND_IN_BLOB: usize = 128;
const ROUNDS: usize = BYTES_PER_BLOB / ROUND_IN_BLOB;
const HEAD: usize = 4;
const VERSION: u8 = 0;

/// Most bytes in one blob.
pub const CAPACITY: usize = ROUNDS * ROUND - HEAD;

/// The blob that holds `data`; `None` above [`CAPACITY`].
pub fn pack(data: &[u8]) -> Option<Box<Blob>> {
    if data.len() > CAPACITY {
        return None;
    }
    let length = u32::try_from(data.len()).ok()?.to_be_bytes();
    let mut stream = Vec::with_capacity(HEAD + data.len() + ROUND);
    stream.extend_from_slice(&[VERSION, length[1], length[2], length[3]]);
    stream.extend_from_slice(data);
    stream.resize(stream.len().next_multiple_of(ROUND), 0);
    let mut blob = Box::new(Blob::ZERO);
    for (bytes, out) in stream.chunks_exact(ROUND).zip(blob.chunks_exact_mut(ROUND_IN_BLOB)) {
        let (x, y, z) = (bytes[31], bytes[63], bytes[95]);
        out[0] = x & 0x3f;
        out[32] = (y & 0x0f) | ((x & 0xc0) >> 2);
        out[64] = z & 0x3f;
        out[96] = ((z & 0xc0) >> 2) | ((y & 0xf0) >> 4);
        for part in 0..4 {
            out[part * 32 + 1..part * 32 + 32].copy_from_slice(&bytes[part * 32..part * 32 + 31]);
        }
    }
    Some(blob)
}

/// What a blob holds; `None` if it is not the one blob that [`pack`] makes of anything.
pub fn unpack(blob: &[u8]) -> Option<Bytes> {
    if blob.len() != BYTES_PER_BLOB {
        return None;
    }
    let mut stream = Vec::with_capacity(ROUNDS * ROUND);
    for round in blob.chunks_exact(ROUND_IN_BLOB) {
        let [a, b, c, d] = [round[0], round[32], round[64], round[96]];
        if (a | b | c | d) & 0xc0 != 0 {
            return None;
        }
        let x = a | ((b & 0x30) << 2);
        let y = (b & 0x0f) | ((d & 0x0f) << 4);
        let z = c | ((d & 0x30) << 2);
        for (part, extra) in [Some(x), Some(y), Some(z), None].into_iter().enumerate() {
            stream.extend_from_slice(&round[part * 32 + 1..part * 32 + 32]);
            stream.extend(extra);
        }
    }
    let length = u32::from_be_bytes([0, stream[1], stream[2], stream[3]]) as usize;
    let end = HEAD + length;
    if stream[0] != VERSION || end > stream.len() || stream[end..].iter().any(|byte| *byte != 0) {
        return None;
    }
    stream.truncate(end);
    Some(Bytes::from(stream).slice(HEAD..))
}

#[cfg(test)]
mod tests {
    use alloy_eips::eip4844::BLS_MODULUS_BYTES;
    use alloy_primitives::keccak256;
    use proptest::prelude::*;

    use super::*;

    /// Bytes that do not repeat.
    fn noise(length: usize) -> Vec<u8> {
        let block = |number: usize| keccak256(number.to_be_bytes()).0;
        (0..length.div_ceil(32)).flat_map(block).take(length).collect()
    }

    #[test]
    fn the_capacity_is_exact() {
        assert_eq!(CAPACITY, 130_044);
        for length in [0, 1, 26, 27, 28, 122, 123, 124, 127, 250, CAPACITY - 1, CAPACITY] {
            let data = noise(length);
            let blob = pack(&data).unwrap();
            assert_eq!(unpack(&blob[..]).unwrap(), data, "{length}");
        }
        assert!(pack(&noise(CAPACITY + 1)).is_none());
    }

    /// Worked out by hand from the rules above: the layout never changes.
    #[test]
    fn golden() {
        let data: Vec<u8> = (1..=123).map(|byte| byte | 0x80).collect();
        let blob = pack(&data).unwrap();
        // data[27] = 0x9c is x, data[59] = 0xbc is y, data[91] = 0xdc is z.
        assert_eq!(blob[..6], [0x1c, 0, 0, 0, 123, 0x81]);
        assert_eq!(blob[32..34], [0x2c, 0x9d]);
        assert_eq!(blob[64..66], [0x1c, 0xbd]);
        assert_eq!(blob[96..98], [0x3b, 0xdd]);
        assert_eq!(blob[127], 0xfb);
        assert!(blob[128..].iter().all(|byte| *byte == 0));
        let full = pack(&noise(CAPACITY)).unwrap();
        let hash = "0x96cd45bb35759e7a4c66fba39222f0180fa6e559dd7fc9e3853197d90c85c8f2";
        assert_eq!(keccak256(&full[..]).to_string(), hash);
    }

    #[test]
    fn other_blobs_are_junk() {
        let good = pack(&noise(1000)).unwrap();
        let junk = |edit: &dyn Fn(&mut Blob)| {
            let mut blob = good.clone();
            edit(&mut blob);
            assert!(unpack(&blob[..]).is_none());
        };
        junk(&|blob| blob[1] = 1);
        junk(&|blob| blob[2] = 2);
        junk(&|blob| blob[4] = blob[4].wrapping_sub(1));
        junk(&|blob| blob[32] |= 0x40);
        junk(&|blob| blob[BYTES_PER_BLOB - 1] = 1);
        junk(&|blob| blob[BYTES_PER_BLOB - 32] = 1);
        assert!(unpack(&good[1..]).is_none());
        assert_eq!(unpack(&Blob::ZERO[..]), Some(Bytes::new()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_packed_comes_out_and_every_element_is_in_the_field(
            data in prop::collection::vec(any::<u8>(), 0..4000),
        ) {
            let blob = pack(&data).unwrap();
            prop_assert!(blob.chunks_exact(32).all(|element| *element < BLS_MODULUS_BYTES[..]));
            prop_assert_eq!(unpack(&blob[..]).unwrap(), data);
        }

        #[test]
        fn a_content_has_one_blob(at in 0..1400usize, bit in 0..8u8) {
            let mut blob = pack(&noise(1200)).unwrap();
            blob[at] ^= 1 << bit;
            if let Some(content) = unpack(&blob[..]) {
                prop_assert_eq!(pack(&content).unwrap(), blob);
            }
        }
    }
}
