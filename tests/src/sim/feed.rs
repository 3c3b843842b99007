//! The feed between nodes: messages that come late, twice, damaged, out of order or not at all.

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable};
use alloy_signer::SignerSync;
use causeway_chainspec::{Block, BlockBody, Claim, Seal, SealTuple};
use causeway_node::node::{Fed, FeedBlock};
use eyre::{ContextCompat, ensure};
use std::sync::Arc;

use super::Sim;
use crate::keys;

/// Messages that may be on their way to one node.
const WIRE: usize = 48;

impl Sim {
    /// Sends the sequencer's new blocks to everybody who listens.
    pub(super) fn broadcast(&mut self, news: &[Arc<Block>]) -> eyre::Result<()> {
        let Some(node) = self.peers[0].node.clone() else { return Ok(()) };
        for block in news {
            let Some(bytes) = node.feed_block(block.header.number)? else { continue };
            for at in 1..self.peers.len() {
                if self.peers[at].feed && self.peers[at].node.is_some() {
                    self.put(at, bytes.clone());
                }
            }
        }
        Ok(())
    }

    /// Puts a message on a node's wire, as reliable as the seed says.
    fn put(&mut self, at: usize, bytes: Bytes) {
        let [lost, damaged, doubled] =
            self.setup.feed_faults.map(|share| !self.healed && self.rng.percent(share));
        if lost {
            return;
        }
        let bytes = if damaged { self.damage(&bytes) } else { bytes };
        let wire = &mut self.wires[at];
        wire.push_back(bytes.clone());
        if doubled {
            wire.push_back(bytes);
        }
        while wire.len() > WIRE {
            wire.pop_front();
        }
    }

    /// Some bytes with one bit turned, or cut short.
    pub(super) fn damage(&mut self, bytes: &Bytes) -> Bytes {
        let mut bytes = bytes.to_vec();
        let at = self.rng.below(bytes.len().max(1) as u64) as usize;
        if self.rng.percent(20) {
            bytes.truncate(at);
        } else if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << self.rng.below(8);
        }
        bytes.into()
    }

    /// Some messages arrive at one node.
    pub(super) async fn deliver(&mut self) -> eyre::Result<()> {
        let at = self.anybody();
        for _ in 0..1 + self.rng.below(6) {
            let waiting = self.wires[at].len() as u64;
            if waiting == 0 || self.peers[at].node.is_none() {
                break;
            }
            let late = self.setup.feed_faults != [0; 3] && self.rng.percent(20);
            let place = if late { self.rng.below(waiting) as usize } else { 0 };
            let Some(bytes) = self.wires[at].remove(place) else { break };
            self.take(at, bytes, true).await?;
        }
        Ok(())
    }

    /// A node takes one message.
    async fn take(&mut self, at: usize, bytes: Bytes, again: bool) -> eyre::Result<()> {
        let Some(node) = self.peers[at].node.clone() else { return Ok(()) };
        let Ok(fed) = FeedBlock::decode(&mut bytes.as_ref()) else {
            self.note(format!("{} got bytes that are no block", self.peers[at].name));
            return Ok(());
        };
        let (number, tuple) = (fed.claim.number, self.tuple(&fed.claim, fed.seal.view));
        let taken = node.feed(fed).await;
        drop(node);
        match taken {
            Ok(taken) => {
                self.note(format!("{} of feed block {number}: {taken:?}", self.peers[at].name));
                match taken {
                    Fed::Adopted => {
                        self.seen.fed += 1;
                        ensure!(self.checker.knows_seal(&tuple), "INV-5: adopted {tuple:?}");
                    }
                    Fed::Refused(_) => self.seen.refused += 1,
                    Fed::Later(_) if again && self.rng.percent(60) => {
                        self.wires[at].push_back(bytes);
                    }
                    Fed::Later(_) | Fed::Known => {}
                }
            }
            Err(error) => {
                let fate = self.peers[at].fate(&error)?;
                self.settle(at, "feed", &fate)?;
            }
        }
        Ok(())
    }

    fn tuple(&self, claim: &Claim, view: u64) -> SealTuple {
        let (identity, term, number) = (self.common.spec.identity(), claim.term, claim.number);
        SealTuple { identity, term, view, number, claim: claim.hash() }
    }

    /// A node subscribes to the feed anew: it gets every block above its own newest.
    pub(super) fn follow(&mut self, at: usize) -> eyre::Result<()> {
        let (Some(node), Some(source)) = (self.peers[at].node.clone(), self.peers[0].node.clone())
        else {
            return Ok(());
        };
        if !self.peers[at].feed {
            return Ok(());
        }
        self.wires[at].clear();
        let next = node.heads().borrow().latest.number + 1;
        let newest = source.heads().borrow().latest.number;
        for number in next..=newest {
            match source.feed_block(number)? {
                Some(bytes) => self.put(at, bytes),
                // As the feed does: it stops at a block that has no seal.
                None => break,
            }
        }
        self.note(format!("{} subscribes from {next}", self.peers[at].name));
        Ok(())
    }

    /// Somebody who is not the sequencer sends a node a block of his own.
    pub(super) async fn impostor(&mut self) -> eyre::Result<()> {
        let at = self.anybody();
        let Some(node) = self.peers[at].node.clone() else { return Ok(()) };
        let snapshot = node.pipeline().snapshot();
        let parent = snapshot.block(snapshot.latest().number)?.context("the newest block")?;
        let parent = &parent.plan.claim;
        let body = BlockBody { inbound: Vec::new(), candidates: Vec::new() };
        let claim = Claim {
            number: parent.number + 1,
            parent: parent.hash(),
            time_ms: parent.time_ms + 1 + self.rng.below(500),
            anchors: Vec::new(),
            inbound_root: body.inbound_root(),
            candidates_root: body.candidates_root(),
            takeover: None,
            ..parent.clone()
        };
        // The key of a user, of the poster, or none.
        let key = match self.rng.below(3) {
            0 => keys::accounts()[0].clone(),
            1 => keys::poster(),
            _ => keys::accounts()[5].clone(),
        };
        let signed = key.sign_hash_sync(&self.tuple(&claim, 0).digest())?;
        let seal = Seal { view: 0, proof: Bytes::copy_from_slice(&signed.as_bytes()) };
        let fed = FeedBlock { claim, body, seal, hash: B256::ZERO };
        let mut bytes = Vec::new();
        fed.encode(&mut bytes);
        drop((snapshot, node));
        let refused = self.seen.refused;
        self.take(at, bytes.into(), false).await?;
        ensure!(self.seen.refused == refused + 1, "an impostor's block was not refused");
        Ok(())
    }
}
