//! Values by hash of a block, up to so many bytes; the ones that came first go first.

use std::collections::{HashMap, VecDeque};

use alloy_primitives::B256;
use parking_lot::Mutex;

/// See the module. Shared by reference between threads.
pub(crate) struct Bounded<V> {
    most_bytes: usize,
    kept: Mutex<Kept<V>>,
}

struct Kept<V> {
    values: HashMap<B256, V>,
    order: VecDeque<(B256, usize)>,
    bytes: usize,
}

impl<V: Clone> Bounded<V> {
    /// Holds nothing yet.
    pub(crate) fn new(most_bytes: usize) -> Self {
        let (values, order) = Default::default();
        Self { most_bytes, kept: Mutex::new(Kept { values, order, bytes: 0 }) }
    }

    pub(crate) fn get(&self, hash: B256) -> Option<V> {
        self.kept.lock().values.get(&hash).cloned()
    }

    /// Keeps a value of so many bytes, about, unless that alone is too much. Returns the one that
    /// counts: another may have come first.
    pub(crate) fn keep(&self, hash: B256, value: V, bytes: usize) -> V {
        let mut kept = self.kept.lock();
        if let Some(first) = kept.values.get(&hash) {
            return first.clone();
        }
        if bytes > self.most_bytes {
            return value;
        }
        kept.values.insert(hash, value.clone());
        kept.order.push_back((hash, bytes));
        kept.bytes += bytes;
        while kept.bytes > self.most_bytes {
            let Some((oldest, bytes)) = kept.order.pop_front() else { break };
            kept.values.remove(&oldest);
            kept.bytes -= bytes;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_come_goes_first_and_the_first_of_a_hash_counts() {
        let hash = B256::repeat_byte;
        let bounded = Bounded::new(10);
        assert_eq!(bounded.keep(hash(1), "a", 4), "a");
        assert_eq!(bounded.keep(hash(1), "b", 4), "a");
        assert_eq!(bounded.keep(hash(2), "c", 6), "c");
        assert_eq!(bounded.keep(hash(3), "too much", 11), "too much");
        assert_eq!([1, 2, 3].map(|byte| bounded.get(hash(byte))), [Some("a"), Some("c"), None]);
        bounded.keep(hash(4), "d", 1);
        assert_eq!([1, 2, 4].map(|byte| bounded.get(hash(byte))), [None, Some("c"), Some("d")]);
    }
}
