//! The leaves of outbox trees, read from blocks once and kept, so that a proof costs 32 hashes.

use std::collections::BTreeMap;
use std::time::Instant;

use alloy_primitives::B256;
use causeway_chainspec::LaneItem;
use causeway_chainspec::merkle::{DEPTH, pair, zero};
use parking_lot::Mutex;

use super::super::backend::ChainReader;
use super::super::error::{RpcError, RpcResult};

/// Trees by domain, as far as they were read. 64 bytes of memory for a message.
#[derive(Default)]
pub(crate) struct Outboxes(Mutex<BTreeMap<u32, Outbox>>);

impl Outboxes {
    /// The root of the first `count` leaves and the siblings of one of them, deepest first.
    /// Reads what blocks up to `block` have that was not read before; if that is too much for one
    /// request, the next one goes on where this one stopped.
    pub(super) fn prove(
        &self,
        (domain, chain): (u32, &dyn ChainReader),
        block: u64,
        (index, count): (u32, u32),
        deadline: Instant,
    ) -> RpcResult<(B256, Vec<B256>)> {
        let mut outboxes = self.0.try_lock_until(deadline).ok_or_else(RpcError::busy)?;
        let outbox = outboxes.entry(domain).or_default();
        outbox.read(chain, block, deadline)?;
        if count as usize > outbox.tree.len() {
            return Err(RpcError::internal(format!(
                "the blocks of domain {domain} hold {} messages, its state says {count}",
                outbox.tree.len()
            )));
        }
        Ok((outbox.tree.root(count), outbox.tree.branch(index, count)))
    }
}

/// One chain's tree, and the blocks it was read from.
#[derive(Default)]
struct Outbox {
    tree: Tree,
    /// Blocks read: number, hash, leaves after it. Those that can change, and one before them.
    read: Vec<(u64, B256, usize)>,
}

impl Outbox {
    fn read(&mut self, chain: &dyn ChainReader, to: u64, deadline: Instant) -> RpcResult<()> {
        while let Some((number, hash, _)) = self.read.last().copied() {
            if chain.number_of_hash(hash)? == Some(number) {
                break;
            }
            self.read.pop();
            self.tree.truncate(self.read.last().map_or(0, |(_, _, leaves)| *leaves));
        }
        let next = self.read.last().map_or(0, |(number, ..)| number + 1);
        for number in next..=to {
            if Instant::now() > deadline {
                return Err(RpcError::server(format!(
                    "reading the messages of blocks up to {to} takes long, {number} so far: try \
                     again, it goes on from there"
                )));
            }
            let block = chain.block(number)?.ok_or_else(RpcError::pruned)?;
            // The outbox is in lane order; the tree is in the order of dispatch.
            let mut ids: Vec<_> = block
                .outbox
                .iter()
                .filter_map(|item| match item {
                    LaneItem::Message(message) => Some((message.nonce, message.id())),
                    LaneItem::Receipt(_) => None,
                })
                .collect();
            ids.sort_unstable();
            for (nonce, id) in ids {
                if nonce as usize != self.tree.len() {
                    let have = self.tree.len();
                    return Err(RpcError::internal(format!("message {nonce} is leaf {have}")));
                }
                self.tree.push(id);
            }
            self.read.push((number, block.hash, self.tree.len()));
        }
        let finalized = chain.finalized().number;
        let settled = self.read.iter().filter(|(number, ..)| *number <= finalized).count();
        self.read.drain(..settled.saturating_sub(1));
        Ok(())
    }
}

/// A binary keccak tree of depth 32 with all its full nodes; what is not there is zero leaves.
#[derive(Default)]
pub(super) struct Tree {
    /// Full nodes of each height, leaves first.
    nodes: Vec<Vec<B256>>,
}

impl Tree {
    /// Number of leaves.
    pub(super) fn len(&self) -> usize {
        self.nodes.first().map_or(0, Vec::len)
    }

    /// Appends a leaf.
    pub(super) fn push(&mut self, leaf: B256) {
        let mut node = leaf;
        for height in 0..=DEPTH {
            if self.nodes.len() == height {
                self.nodes.push(Vec::new());
            }
            let level = &mut self.nodes[height];
            level.push(node);
            match level[..] {
                [.., left, right] if level.len().is_multiple_of(2) => node = pair(left, right),
                _ => return,
            }
        }
    }

    /// Takes leaves away from the end.
    pub(super) fn truncate(&mut self, leaves: usize) {
        for (height, level) in self.nodes.iter_mut().enumerate() {
            level.truncate(leaves >> height);
        }
    }

    /// Root of the first `count` leaves, which must be there.
    pub(super) fn root(&self, count: u32) -> B256 {
        self.node(DEPTH, 0, u64::from(count))
    }

    /// Siblings on the way from a leaf to the root of the first `count`, deepest first.
    pub(super) fn branch(&self, index: u32, count: u32) -> Vec<B256> {
        let (index, count) = (u64::from(index), u64::from(count));
        (0..DEPTH).map(|height| self.node(height, (index >> height) ^ 1, count)).collect()
    }

    /// A node by its height and its place in it, in the tree of the first `count` leaves.
    fn node(&self, height: usize, at: u64, count: u64) -> B256 {
        if (at + 1) << height <= count {
            return self.nodes[height][at as usize];
        }
        if at << height >= count {
            return zero(height);
        }
        pair(self.node(height - 1, 2 * at, count), self.node(height - 1, 2 * at + 1, count))
    }
}
