//! Walks one path of a trie, for proofs and single leaves.

use alloy_primitives::Bytes;
use alloy_rlp::Decodable;
use alloy_trie::Nibbles;
use alloy_trie::nodes::{RlpNode, TrieNode};
use causeway_chainspec::StateError;

use super::{Load, missing, undecodable};

/// Nodes on the way to a key, root first, without those that stand inline in their parent; and
/// the key's value, if the trie has it.
pub(super) fn walk(
    load: &Load<'_>,
    key: &Nibbles,
) -> Result<(Vec<Bytes>, Option<Vec<u8>>), StateError> {
    let mut path = Nibbles::new();
    let mut proof = Vec::new();
    let Some(mut rlp) = load(&path)? else { return Ok((proof, None)) };
    let mut inline = false;
    loop {
        let node =
            TrieNode::decode(&mut rlp.as_ref()).map_err(|error| undecodable(&path, error))?;
        if !inline {
            proof.push(rlp);
        }
        let child: RlpNode = match node {
            TrieNode::EmptyRoot => return Ok((proof, None)),
            TrieNode::Leaf(leaf) => {
                let found = path.join(&leaf.key) == *key;
                return Ok((proof, found.then_some(leaf.value)));
            }
            TrieNode::Extension(node) => {
                path.extend(&node.key);
                if !key.starts_with(&path) {
                    return Ok((proof, None));
                }
                node.child
            }
            TrieNode::Branch(node) => {
                let Some(nibble) = key.get(path.len()) else { return Ok((proof, None)) };
                path.push(nibble);
                let branch = node.as_ref();
                match branch.children().nth(usize::from(nibble)) {
                    Some((_, Some(child))) => child.clone(),
                    _ => return Ok((proof, None)),
                }
            }
        };
        inline = !child.is_hash();
        rlp = load(&path)?.ok_or_else(|| missing(&path))?;
    }
}
