//! What a sequencer put on DA over all its lives: no block twice in one term.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use causeway_chainspec::{ChainSpec, Claim};
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
        for height in spec.da.start.max(1)..=da.heads().await?.latest.height {
            let block = da.read(height).await?;
            let posters = spec.sequencer.posters_at(block.time_ms);
            let (entry, _dropped) = codec::decode(&block, &ReadContext { identity, posters });
            for claim in entry.spans.iter().flat_map(|span| &span.blocks).map(|it| &it.claim) {
                posted.note(claim, height)?;
            }
        }
        Ok(posted)
    }

    /// How many blocks there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    fn note(&mut self, claim: &Claim, height: u64) -> eyre::Result<()> {
        let Claim { number, term, .. } = claim;
        match self.0.insert(claim.hash(), height) {
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
