//! What a sequencer put on DA over all its lives: no block twice in one term.

use std::collections::BTreeMap;

use alloy_primitives::{B256, keccak256};
use causeway_chainspec::{ChainSpec, Claim, Tip};
use causeway_da::codec::{self, ReadContext};
use eyre::bail;

/// Claims that were posted, with the DA height of each. A claim names its term: the same block in
/// another term is another claim, and a rival's is, too.
#[derive(Debug, Default)]
pub struct Posted(BTreeMap<B256, u64>);

impl Posted {
    /// Reads a DA service from its first block to its newest. Fails if a claim stands there twice.
    pub async fn read(spec: &ChainSpec, url: &str) -> eyre::Result<Self> {
        let settings = toml::Table::from_iter([("url".to_owned(), url.into())]);
        let da = causeway_da::open(spec, &settings)?;
        let identity = spec.identity();
        let mut posted = Self::default();
        // What a span may stand on, by number: genesis, and what was posted. A span on a block that
        // derivation made stands on none of these, and is named by its seal alone.
        let mut tips: BTreeMap<u64, Vec<Tip>> = BTreeMap::new();
        tips.entry(0).or_default().push(Tip::of(&causeway_execution::genesis::claim(spec)));
        for height in spec.da.start.max(1)..=da.heads().await?.latest.height {
            let block = da.read(height).await?;
            let posters = spec.sequencer.posters_at(block.time_ms);
            let (entry, _dropped) = codec::decode(&block, &ReadContext { identity, posters });
            for span in &entry.spans {
                let mut below = tips.get(&(span.number - 1)).into_iter().flatten();
                let claims = below.find_map(|tip| span.claims(tip));
                match claims {
                    Some(claims) => {
                        for (_, claim) in &claims {
                            posted.note(claim, height)?;
                            tips.entry(claim.number).or_default().push(Tip::of(claim));
                        }
                    }
                    None => {
                        posted.note_hash(keccak256(&span.seal.proof), span.number, 0, height)?;
                    }
                }
            }
        }
        Ok(posted)
    }

    /// How many blocks there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    fn note(&mut self, claim: &Claim, height: u64) -> eyre::Result<()> {
        self.note_hash(claim.hash(), claim.number, claim.term, height)
    }

    fn note_hash(&mut self, hash: B256, number: u64, term: u64, height: u64) -> eyre::Result<()> {
        match self.0.insert(hash, height) {
            None => Ok(()),
            Some(before) => bail!(
                "block {number} of term {term} was posted at DA height {before}, and again at {height}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use causeway_chainspec::BlockBody;

    use super::*;

    #[test]
    fn a_block_is_posted_once_a_term() {
        let body = BlockBody::default();
        let claim = |number, term| Claim {
            identity: B256::ZERO,
            number,
            term,
            parent: B256::ZERO,
            time_ms: number,
            origin: None,
            cut: Default::default(),
            anchors: Vec::new(),
            inbound_root: body.inbound_root(),
            candidates_root: body.candidates_root(),
            takeover: None,
        };
        let mut posted = Posted::default();
        for (number, term, height) in [(1, 0, 5), (2, 0, 5), (2, 9, 10)] {
            posted.note(&claim(number, term), height).unwrap();
        }
        assert!(posted.note(&claim(2, 0), 6).is_err());
        assert_eq!(posted.count(), 3);
    }
}
