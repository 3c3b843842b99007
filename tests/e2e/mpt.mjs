// Reads a value out of a Merkle-Patricia proof (eth_getProof), trusting nothing but the root.
import assert from 'node:assert/strict'
import { fromRlp, keccak256 } from 'viem'

const EMPTY_ROOT = keccak256('0x80')

/** The RLP value at keccak256(key), or null when the proof shows that there is none. */
export function provenValue(root, key, proof) {
  if (root === EMPTY_ROOT) return null
  const nodes = new Map(proof.map((node) => [keccak256(node), fromRlp(node)]))
  return descend(root, keccak256(key).slice(2), nodes)
}

/** A node is its hash, or itself when its RLP is shorter than a hash. */
function descend(reference, path, nodes) {
  if (reference === '0x') return null
  const node = typeof reference === 'string' ? nodes.get(reference) : reference
  assert.ok(node, `the proof lacks node ${reference}`)
  if (node.length === 17) return descend(node[parseInt(path[0], 16)], path.slice(1), nodes)

  const [prefix, next] = node
  const flags = parseInt(prefix[2], 16)
  const nibbles = prefix.slice(flags & 1 ? 3 : 4)
  if (!path.startsWith(nibbles)) return null
  return flags & 2 ? next : descend(next, path.slice(nibbles.length), nodes)
}
