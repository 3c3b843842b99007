//! Applies sorted changes to one trie: opens what they touch, reshapes it, hashes it bottom-up.

use std::collections::HashMap;
use std::ops::Range;

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::{Decodable, EMPTY_STRING_CODE};
use alloy_trie::nodes::{ExtensionNodeRef, LeafNode, LeafNodeRef, RlpNode, TrieNode};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use causeway_chainspec::StateError;
use rayon::prelude::*;

use super::{Load, NodeMap, PARALLEL_KEYS, missing, undecodable};

/// The new value of the key at an index (`None` deletes it), asked once a key, with the value it
/// has now.
type Leaf<'a> = dyn Fn(usize, Option<&[u8]>) -> Result<Option<Vec<u8>>, StateError> + Sync + 'a;

/// A node in memory. Its path is where the pointer to it stands in the trie.
enum Node {
    Empty,
    /// On disk (or sealed already), as its parent refers to it.
    Stored(RlpNode),
    Leaf(LeafNode),
    Extension(Box<(Nibbles, Node)>),
    Branch(Box<[Node; 16]>),
}

/// Root of a trie that has this root now, after the keys (sorted, distinct) got their new values,
/// and the nodes that differ by path.
pub(super) fn update(
    load: &Load<'_>,
    root: B256,
    keys: &[Nibbles],
    leaf: &Leaf<'_>,
) -> Result<(B256, NodeMap), StateError> {
    let top = Nibbles::new();
    let mut root = match root {
        EMPTY_ROOT_HASH => Node::Empty,
        root => Node::Stored(RlpNode::word_rlp(&root)),
    };
    let mut walk = Walk::new(load, keys, leaf);
    if !keys.is_empty() {
        walk.apply(&mut root, &top, 0..keys.len())?;
    }
    let hash = match &root {
        Node::Empty => EMPTY_ROOT_HASH,
        node => {
            let reference = seal(node, &top, &mut walk.sealed);
            // A root below 32 bytes is hashed all the same.
            reference.as_hash().unwrap_or_else(|| keccak256(&reference))
        }
    };
    let mut nodes = NodeMap::default();
    nodes.reserve(walk.sealed.len().max(walk.opened.len()));
    nodes.extend(walk.opened.into_iter().map(|path| (path, None)));
    nodes.extend(walk.sealed.into_iter().map(|(path, rlp)| (path, Some(rlp))));
    Ok((hash, nodes))
}

struct Walk<'a> {
    load: &'a Load<'a>,
    keys: &'a [Nibbles],
    leaf: &'a Leaf<'a>,
    /// Paths of stored nodes that were taken apart: gone, unless a new node is sealed there.
    opened: Vec<Nibbles>,
    /// New nodes.
    sealed: Vec<(Nibbles, Bytes)>,
    /// Values asked for before it was known where they go.
    ready: HashMap<usize, Option<Vec<u8>>>,
}

impl<'a> Walk<'a> {
    fn new(load: &'a Load<'a>, keys: &'a [Nibbles], leaf: &'a Leaf<'a>) -> Self {
        let (opened, sealed, ready) = Default::default();
        Self { load, keys, leaf, opened, sealed, ready }
    }

    fn value(&mut self, index: usize, old: Option<&[u8]>) -> Result<Option<Vec<u8>>, StateError> {
        let ready = if self.ready.is_empty() { None } else { self.ready.remove(&index) };
        ready.map_or_else(|| (self.leaf)(index, old), Ok)
    }

    /// Reads a node that its parent refers to. Debug builds check that it is that node: where an
    /// overlay over the store is wrong, it shows here.
    fn open(&mut self, path: &Nibbles, reference: &RlpNode) -> Result<Node, StateError> {
        let rlp = (self.load)(path)?.ok_or_else(|| missing(path))?;
        let whole = path.is_empty() || reference.is_hash();
        let hash =
            || if whole { RlpNode::word_rlp(&keccak256(&rlp)) } else { RlpNode::from_rlp(&rlp) };
        if cfg!(debug_assertions) && hash() != *reference {
            return Err(StateError(format!("trie node at path {path:?} has another hash")));
        }
        self.opened.push(*path);
        if let Some(children) = branch(&rlp) {
            return Ok(Node::Branch(children));
        }
        match TrieNode::decode(&mut rlp.as_ref()).map_err(|error| undecodable(path, error))? {
            TrieNode::EmptyRoot => Err(missing(path)),
            TrieNode::Leaf(leaf) => Ok(Node::Leaf(leaf)),
            TrieNode::Extension(node) => {
                Ok(Node::Extension(Box::new((node.key, Node::Stored(node.child)))))
            }
            TrieNode::Branch(node) => {
                let mut stack = node.stack.into_iter();
                Ok(Node::Branch(Box::new(std::array::from_fn(|index| {
                    let child =
                        node.state_mask.is_bit_set(index as u8).then(|| stack.next()).flatten();
                    child.map_or(Node::Empty, Node::Stored)
                }))))
            }
        }
    }

    /// Applies the changes of a range of keys, all below `path`, to the node there. True if the
    /// node changed; otherwise it is left as it was.
    fn apply(
        &mut self,
        node: &mut Node,
        path: &Nibbles,
        range: Range<usize>,
    ) -> Result<bool, StateError> {
        match node {
            Node::Stored(reference) => {
                let mark = self.opened.len();
                let mut open = self.open(path, reference)?;
                let changed = self.apply(&mut open, path, range)?;
                if changed {
                    *node = open;
                } else {
                    self.opened.truncate(mark);
                }
                Ok(changed)
            }
            Node::Empty => {
                let mut leaves = self.inserted(range)?;
                *node = build(&mut leaves, path.len());
                Ok(!leaves.is_empty())
            }
            Node::Leaf(_) => self.apply_leaf(node, path, range),
            Node::Extension(_) => self.apply_extension(node, path, range),
            Node::Branch(_) => self.apply_branch(node, path, range),
        }
    }

    /// Keys of a range that had no value and get one.
    fn inserted(&mut self, range: Range<usize>) -> Result<Vec<(Nibbles, Vec<u8>)>, StateError> {
        let mut leaves = Vec::with_capacity(range.len());
        for index in range {
            if let Some(value) = self.value(index, None)? {
                leaves.push((self.keys[index], value));
            }
        }
        Ok(leaves)
    }

    fn apply_leaf(
        &mut self,
        node: &mut Node,
        path: &Nibbles,
        range: Range<usize>,
    ) -> Result<bool, StateError> {
        let Node::Leaf(leaf) = node else { return Ok(false) };
        let key = path.join(&leaf.key);
        let at = range.start + self.keys[range.clone()].partition_point(|other| *other < key);
        let hit = at < range.end && self.keys[at] == key;
        let mut leaves = self.inserted(range.start..at)?;
        let before = leaves.len();
        let kept = if hit {
            self.value(at, Some(&leaf.value))?
        } else {
            Some(std::mem::take(&mut leaf.value))
        };
        let same = !hit || kept.as_ref() == Some(&leaf.value);
        leaves.extend(kept.map(|value| (key, value)));
        let after = self.inserted(at + usize::from(hit)..range.end)?;
        let changed = before > 0 || !after.is_empty() || !same;
        leaves.extend(after);
        *node = build(&mut leaves, path.len());
        Ok(changed)
    }

    fn apply_extension(
        &mut self,
        node: &mut Node,
        path: &Nibbles,
        range: Range<usize>,
    ) -> Result<bool, StateError> {
        let Node::Extension(inner) = node else { return Ok(false) };
        let (key, child) = &mut **inner;
        let below = path.join(key);
        let keys = &self.keys[range.clone()];
        let first = range.start + keys.partition_point(|k| *k < below);
        let inside = keys.iter().filter(|k| k.starts_with(&below)).count();
        let inside = first..first + inside;
        // Where the first new key leaves this extension; keys that are deleted there never were.
        let mut split = key.len();
        for index in (range.start..inside.start).chain(inside.end..range.end) {
            if let Some(value) = self.value(index, None)? {
                split = split.min(self.keys[index].common_prefix_length(&below) - path.len());
                self.ready.insert(index, Some(value));
            } else {
                self.ready.insert(index, None);
            }
        }
        if split == key.len() {
            if !self.apply(child, &below, inside)? {
                return Ok(false);
            }
            let (key, child) = (*key, std::mem::replace(child, Node::Empty));
            *node = self.prefixed(path, key, child)?;
            return Ok(true);
        }
        let rest = key.slice(split + 1..);
        let child = std::mem::replace(child, Node::Empty);
        let mut children = std::array::from_fn(|_| Node::Empty);
        children[usize::from(key.get_unchecked(split))] =
            if rest.is_empty() { child } else { Node::Extension(Box::new((rest, child))) };
        let branch = Node::Branch(Box::new(children));
        let key = key.slice(..split);
        *node = if key.is_empty() { branch } else { Node::Extension(Box::new((key, branch))) };
        self.apply(node, path, range)
    }

    fn apply_branch(
        &mut self,
        node: &mut Node,
        path: &Nibbles,
        range: Range<usize>,
    ) -> Result<bool, StateError> {
        let Node::Branch(children) = node else { return Ok(false) };
        let parallel = range.len() >= PARALLEL_KEYS;
        let groups = self.groups(path.len(), range);
        let changed = if parallel {
            self.apply_parallel(children, path, &groups)?
        } else {
            let mut changed = false;
            for (nibble, (child, group)) in children.iter_mut().zip(groups).enumerate() {
                if !group.is_empty() {
                    changed |= self.apply(child, &child_path(path, nibble), group)?;
                }
            }
            changed
        };
        if !changed {
            return Ok(false);
        }
        let mut left = (0..16).filter(|nibble| !matches!(children[*nibble], Node::Empty));
        match (left.next(), left.next()) {
            (None, _) => *node = Node::Empty,
            (Some(only), None) => {
                let child = std::mem::replace(&mut children[only], Node::Empty);
                let key = Nibbles::from_nibbles([only as u8]);
                *node = self.prefixed(path, key, child)?;
            }
            _ if parallel => {
                // Both children stay where they are, whatever becomes of this branch.
                self.sealed.par_extend(children.par_iter_mut().enumerate().flat_map_iter(
                    |(nibble, child)| {
                        let mut sealed = Vec::new();
                        if !matches!(child, Node::Empty) {
                            let path = child_path(path, nibble);
                            *child = Node::Stored(seal(child, &path, &mut sealed));
                        }
                        sealed
                    },
                ));
            }
            _ => {}
        }
        Ok(true)
    }

    /// The parts of a range by the nibble of their keys at `depth`.
    fn groups(&self, depth: usize, range: Range<usize>) -> [Range<usize>; 16] {
        let mut start = range.start;
        std::array::from_fn(|nibble| {
            let rest = &self.keys[start..range.end];
            let len = rest.partition_point(|key| usize::from(key.get_unchecked(depth)) <= nibble);
            let group = start..start + len;
            start += len;
            group
        })
    }

    fn apply_parallel(
        &mut self,
        children: &mut [Node; 16],
        path: &Nibbles,
        groups: &[Range<usize>; 16],
    ) -> Result<bool, StateError> {
        let mut tasks = Vec::with_capacity(16);
        for (nibble, (child, group)) in children.iter_mut().zip(groups).enumerate() {
            if group.is_empty() {
                continue;
            }
            let mut walk = Walk::new(self.load, self.keys, self.leaf);
            for index in group.clone() {
                if let Some(value) = self.ready.remove(&index) {
                    walk.ready.insert(index, value);
                }
            }
            tasks.push((child, child_path(path, nibble), group.clone(), walk));
        }
        let done: Vec<(bool, Walk<'_>)> = tasks
            .into_par_iter()
            .map(|(child, path, group, mut walk)| Ok((walk.apply(child, &path, group)?, walk)))
            .collect::<Result<_, StateError>>()?;
        let mut changed = false;
        for (part, walk) in done {
            changed |= part;
            self.opened.extend(walk.opened);
            self.sealed.extend(walk.sealed);
        }
        Ok(changed)
    }

    /// A node that stood at `path` + `key` and is now reached from `path` through `key` alone.
    fn prefixed(&mut self, path: &Nibbles, key: Nibbles, child: Node) -> Result<Node, StateError> {
        let child = match child {
            Node::Stored(reference) => match self.open(&path.join(&key), &reference)? {
                // A branch keeps its place and its content.
                Node::Branch(_) => {
                    self.opened.pop();
                    Node::Stored(reference)
                }
                open => open,
            },
            other => other,
        };
        Ok(match child {
            Node::Empty => Node::Empty,
            Node::Leaf(leaf) => Node::Leaf(LeafNode::new(key.join(&leaf.key), leaf.value)),
            Node::Extension(inner) => Node::Extension(Box::new((key.join(&inner.0), inner.1))),
            branch => Node::Extension(Box::new((key, branch))),
        })
    }
}

/// The children of a branch without a value; `None` if these bytes are none.
fn branch(rlp: &[u8]) -> Option<Box<[Node; 16]>> {
    let mut rest = rlp;
    let mut items = alloy_rlp::Header::decode_bytes(&mut rest, true).ok()?;
    let mut children = Box::new([const { Node::Empty }; 16]);
    for child in children.iter_mut() {
        let size = match *items.first()? {
            EMPTY_STRING_CODE => {
                items = &items[1..];
                continue;
            }
            0xa0 => 33,
            short @ 0xc0..=0xdf => usize::from(short - 0xbf),
            _ => return None,
        };
        let (reference, after) = items.split_at_checked(size)?;
        *child = Node::Stored(RlpNode::from_raw(reference)?);
        items = after;
    }
    (items == [EMPTY_STRING_CODE] && rest.is_empty()).then_some(children)
}

fn child_path(path: &Nibbles, nibble: usize) -> Nibbles {
    let mut path = *path;
    path.push(nibble as u8);
    path
}

/// The subtree of sorted leaves that share their first `depth` nibbles. Takes the values out.
fn build(leaves: &mut [(Nibbles, Vec<u8>)], depth: usize) -> Node {
    let (first, last) = match leaves {
        [] => return Node::Empty,
        [(key, value)] => {
            return Node::Leaf(LeafNode::new(key.slice(depth..), std::mem::take(value)));
        }
        [(first, _), .., (last, _)] => (*first, *last),
    };
    let fork = first.common_prefix_length(&last);
    let mut rest = leaves;
    let branch = Node::Branch(Box::new(std::array::from_fn(|nibble| {
        let len = rest.partition_point(|(key, _)| usize::from(key.get_unchecked(fork)) <= nibble);
        let (group, others) = std::mem::take(&mut rest).split_at_mut(len);
        rest = others;
        build(group, fork + 1)
    })));
    if fork == depth {
        branch
    } else {
        Node::Extension(Box::new((first.slice(depth..fork), branch)))
    }
}

/// Encodes a node and what is in memory below it; returns how its parent refers to it.
fn seal(node: &Node, path: &Nibbles, sealed: &mut Vec<(Nibbles, Bytes)>) -> RlpNode {
    let rlp = match node {
        Node::Empty => return RlpNode::default(),
        Node::Stored(reference) => return reference.clone(),
        Node::Leaf(leaf) => alloy_rlp::encode(LeafNodeRef::new(&leaf.key, &leaf.value)),
        Node::Extension(inner) => {
            let child = seal(&inner.1, &path.join(&inner.0), sealed);
            alloy_rlp::encode(ExtensionNodeRef::new(&inner.0, &child))
        }
        Node::Branch(children) => {
            // Children that are in memory come first, and then the branch is written in one go.
            let mut sealed_here: [RlpNode; 16] = Default::default();
            for (nibble, child) in children.iter().enumerate() {
                if !matches!(child, Node::Empty | Node::Stored(_)) {
                    sealed_here[nibble] = seal(child, &child_path(path, nibble), sealed);
                }
            }
            let reference = |nibble: usize| match &children[nibble] {
                Node::Empty => &[EMPTY_STRING_CODE][..],
                Node::Stored(reference) => reference,
                _ => &sealed_here[nibble],
            };
            let payload_length = 1 + (0..16).map(|nibble| reference(nibble).len()).sum::<usize>();
            let mut rlp = Vec::with_capacity(payload_length + 3);
            alloy_rlp::Header { list: true, payload_length }.encode(&mut rlp);
            (0..16).for_each(|nibble| rlp.extend_from_slice(reference(nibble)));
            rlp.push(EMPTY_STRING_CODE);
            rlp
        }
    };
    let reference = RlpNode::from_rlp(&rlp);
    sealed.push((*path, rlp.into()));
    reference
}
