//! Reads a whole trie and checks every node against the hash its parent has of it.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::nodes::{RlpNode, TrieNode};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use causeway_chainspec::StateError;

use super::{Load, missing, undecodable};

/// Takes the key and value of a leaf.
pub(crate) type Visit<'a> = dyn FnMut(B256, &[u8]) -> Result<(), StateError> + 'a;

/// Visits the leaves of a trie in key order; returns how many nodes it has. An error names the
/// first node that is missing or is not what its parent says.
pub(crate) fn check(load: &Load<'_>, root: B256, visit: &mut Visit<'_>) -> Result<u64, StateError> {
    let top = Nibbles::new();
    let Some(rlp) = load(&top)? else {
        return if root == EMPTY_ROOT_HASH { Ok(0) } else { Err(missing(&top)) };
    };
    if keccak256(&rlp) != root {
        return Err(StateError(format!("trie root is {}, expected {root}", keccak256(&rlp))));
    }
    nodes(load, &top, &rlp, visit)
}

fn nodes(
    load: &Load<'_>,
    path: &Nibbles,
    rlp: &Bytes,
    visit: &mut Visit<'_>,
) -> Result<u64, StateError> {
    let mut child = |path: Nibbles, reference: &RlpNode| {
        let rlp = load(&path)?.ok_or_else(|| missing(&path))?;
        if RlpNode::from_rlp(&rlp) != *reference {
            return Err(StateError(format!("trie node at path {path:?} has another hash")));
        }
        nodes(load, &path, &rlp, visit)
    };
    let mut count = 1;
    match TrieNode::decode(&mut rlp.as_ref()).map_err(|error| undecodable(path, error))? {
        TrieNode::EmptyRoot => return Err(missing(path)),
        TrieNode::Leaf(leaf) => {
            let key = path.join(&leaf.key);
            if key.len() != 64 {
                return Err(StateError(format!("leaf at path {path:?} has a short key")));
            }
            visit(B256::from_slice(&key.pack()), &leaf.value)?;
        }
        TrieNode::Extension(node) => count += child(path.join(&node.key), &node.child)?,
        TrieNode::Branch(node) => {
            for (nibble, reference) in node.as_ref().children() {
                if let Some(reference) = reference {
                    let mut path = *path;
                    path.push(nibble);
                    count += child(path, reference)?;
                }
            }
        }
    }
    Ok(count)
}
