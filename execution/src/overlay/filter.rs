//! Bloom filters over what a layer changed: most layers of a chain know nothing of most keys, and
//! saying so should cost one read of memory.

use alloy_primitives::{Address, B256};
use alloy_trie::Nibbles;

/// Bits a key: one key in about a hundred that is not there is looked for all the same.
const BITS: usize = 16;

/// A set of marks that may hold more than it was given, never less.
#[derive(Debug)]
pub(super) struct Filter {
    /// A power of two of words.
    words: Box<[u64]>,
}

/// A key's mark: 64 bits that differ for different keys.
pub(super) fn address(address: &Address) -> u64 {
    let [a @ .., _, _, _, _] = address.0.0;
    let [.., b0, b1, b2, b3] = address.0.0;
    let (high, low) = (u128::from_le_bytes(a), u32::from_le_bytes([b0, b1, b2, b3]));
    mix((high >> 64) as u64, high as u64 ^ u64::from(low).rotate_left(17))
}

/// As [`address`], of a hash: any of its bytes will do.
pub(super) fn hash(hash: &B256) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = hash.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// As [`address`], of a path in a trie.
pub(super) fn path(path: &Nibbles) -> u64 {
    let mut packed = [0; 32];
    path.pack_to(&mut packed);
    let words = packed.as_chunks::<8>().0;
    words.iter().fold(path.len() as u64, |mark, word| mix(mark, u64::from_le_bytes(*word)))
}

fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xd1b5_4a32_d192_ed03);
    (product >> 64) as u64 ^ product as u64
}

impl Filter {
    pub(super) fn new(marks: impl ExactSizeIterator<Item = u64>) -> Self {
        let words = (marks.len() * BITS).div_ceil(64).next_power_of_two();
        let mut words = vec![0; words].into_boxed_slice();
        for mark in marks {
            let at = place(mark, words.len());
            words[at] |= bits(mark);
        }
        Self { words }
    }

    pub(super) fn may_hold(&self, mark: u64) -> bool {
        let bits = bits(mark);
        self.words[place(mark, self.words.len())] & bits == bits
    }
}

/// Four bits of one word, so that asking reads memory once.
fn bits(mark: u64) -> u64 {
    [0, 6, 12, 18].iter().fold(0, |bits, shift| bits | 1 << ((mark >> shift) & 63))
}

fn place(mark: u64, words: usize) -> usize {
    (mark >> 24) as usize & (words - 1)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn what_was_put_in_is_found_and_little_else() {
        for count in [0, 1, 7, 2_000] {
            let hashes: Vec<_> =
                (0..count + 10_000u32).map(|n| keccak256(n.to_be_bytes())).collect();
            let addresses = hashes.iter().map(|it| address(&Address::from_slice(&it[12..])));
            let paths = hashes.iter().map(|it| path(&Nibbles::unpack(it).slice(..5)));
            for marks in
                [addresses.collect::<Vec<_>>(), paths.collect(), hashes.iter().map(hash).collect()]
            {
                let (inside, outside) = marks.split_at(count as usize);
                let filter = Filter::new(inside.iter().copied());
                assert!(inside.iter().all(|mark| filter.may_hold(*mark)));
                let wrong = outside.iter().filter(|mark| filter.may_hold(**mark)).count();
                assert!(wrong <= 400, "{wrong} of 10000 beside {count}");
            }
        }
    }

    #[test]
    fn addresses_in_a_row_and_paths_of_any_length_differ() {
        let addresses =
            (0..5_000u64).map(|n| address(&Address::left_padding_from(&n.to_be_bytes())));
        let filter = Filter::new(addresses.collect::<Vec<_>>().into_iter());
        let others =
            (5_000..15_000u64).map(|n| address(&Address::left_padding_from(&n.to_be_bytes())));
        assert!(others.filter(|mark| filter.may_hold(*mark)).count() < 1_000);
        let zeros = (0..=64).map(|len| path(&Nibbles::from_nibbles(vec![0u8; len])));
        let mut zeros: Vec<_> = zeros.collect();
        zeros.sort_unstable();
        zeros.dedup();
        assert_eq!(zeros.len(), 65);
    }
}
