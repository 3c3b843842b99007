//! Uncles: stale blocks that a block of proof of work names, for a part of the reward.

use alloy_consensus::Header;
use alloy_primitives::B256;

use super::{Schedule, difficulty};

/// Most uncles of a block.
const MOST_UNCLES: usize = 2;
/// Generations back at which an uncle's parent may stand.
pub(super) const GENERATIONS: u64 = 7;

/// Checks a block's uncles against its ancestors, newest first: each with its hash, its header and
/// the hashes of the uncles it named. At least the last seven, as far as there are so many. Seals are
/// not checked.
pub fn check(
    schedule: &Schedule,
    uncles: &[Header],
    ancestors: &[(B256, Header, Vec<B256>)],
) -> Result<(), String> {
    if uncles.len() > MOST_UNCLES {
        return Err(format!("{} uncles, at most {MOST_UNCLES}", uncles.len()));
    }
    let mut seen: Vec<B256> = ancestors.iter().flat_map(|(.., named)| named).copied().collect();
    for uncle in uncles {
        let hash = uncle.hash_slow();
        if seen.contains(&hash) {
            return Err(format!("uncle {hash} was named before"));
        }
        seen.push(hash);
        if ancestors.iter().any(|(ancestor, ..)| *ancestor == hash) {
            return Err(format!("uncle {hash} is an ancestor"));
        }
        // The parent's own parent at the nearest: a child of the parent would be no uncle.
        let parents = ancestors.iter().skip(1).take(GENERATIONS as usize - 1);
        let parent = parents.map(|(hash, header, _)| (hash, header));
        let parent = parent.into_iter().find(|(hash, _)| **hash == uncle.parent_hash);
        let Some((_, parent)) = parent else {
            return Err(format!("uncle {hash} is of no recent ancestor"));
        };
        let wanted = difficulty::of_child(schedule, parent, uncle.timestamp);
        if uncle.number != parent.number + 1
            || uncle.timestamp <= parent.timestamp
            || uncle.difficulty != wanted
        {
            return Err(format!("uncle {hash} is no child of its parent"));
        }
    }
    Ok(())
}
