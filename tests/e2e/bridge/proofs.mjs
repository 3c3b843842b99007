// Merkle-Patricia proofs as the portal reads them: good ones in every form that tools make, and changed ones by the thousand.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Trie } from '@ethereumjs/trie'
import { concat, decodeFunctionResult, encodeFunctionData, hexToBytes, keccak256, pad, toHex, toRlp } from 'viem'
import { FIRST_SEED, cases, chance, deploy, errorIn, startParent, stop, testContracts } from './parts.mjs'

const MUTATIONS = cases(3000)
const A_TRIE = 400
const COUNTS = [0, 1, 400, 0, 2, 16, 0, 100, 3, 17]
const HASH_DIGITS = 2 + 64
const TIMEOUT = 24 * 3600 * 1000

const REASONS = ['ProofTooLong', 'ProofEnds', 'NodesLeft', 'NodeTooLong', 'NodeDiffers', 'NodeMalformed', 'KeyMissing']
const KEY = `0x${'ab'.repeat(32)}`
const LEAF = toRlp([`0x20${'ab'.repeat(32)}`, '0x01'])
/** A node of 17 items, of which the tenth leads to `KEY`. */
const branch = (child, value = '0x') => toRlp([...Array(10).fill('0x'), child, ...Array(5).fill('0x'), value])
const extension = (path, child) => toRlp([`0x00${path}`, child])
const same = (left, right) => left.length === right.length && left.every((node, at) => node === right[at])

/** Keys of a trie: so many, or some with long common beginnings, so that short nodes lie in their parents. */
function keysOf(random, count) {
  if (count) return Array.from({ length: count }, () => random.hex(32))
  const keys = new Set()
  const common = 26 + random.below(6)
  for (let group = 0; group < 3; group++) {
    const head = random.hex(common)
    for (let left = 1 + random.below(4); left > 0; left--) keys.add(concat([head, random.hex(32 - common)]))
  }
  // They differ in the last nibble.
  const [first] = keys
  for (let left = 3; left > 0; left--) keys.add(first.slice(0, -1) + random.below(16).toString(16))
  return [...keys]
}

function turnBit(random, hex) {
  const bytes = hexToBytes(hex)
  if (!bytes.length) return '0x01'
  bytes[random.below(bytes.length)] ^= 1 << random.below(8)
  return toHex(bytes)
}

const mutations = {
  bit: (random, asked, at) => { asked.proof[at] = turnBit(random, asked.proof[at]) },
  missing: (random, asked, at) => { asked.proof.splice(at, 1) },
  twice: (random, asked, at) => { asked.proof.splice(at, 0, asked.proof[at]) },
  again: (random, asked, at) => { asked.proof.push(asked.proof[at]) },
  empty: (random, asked) => { asked.proof.push('0x') },
  swapped: (random, asked, at) => { asked.proof = [asked.proof[at], ...asked.proof.slice(0, at), ...asked.proof.slice(at + 1)] },
  longer: (random, asked, at) => { asked.proof[at] = concat([asked.proof[at], '0x00']) },
  key: (random, asked) => { asked.key = turnBit(random, asked.key) },
  root: (random, asked) => { asked.root = random.hex(32) },
}
const kinds = ['bit', 'bit', ...Object.keys(mutations)]

describe('proofs', { timeout: TIMEOUT }, () => {
  const reasons = Object.fromEntries(REASONS.map((name) => [name, 0]))
  let parent, reader

  /** `{ value }`, or `{ error }` by name. */
  async function get({ root, key, proof }) {
    const { address, abi } = reader
    const data = encodeFunctionData({ abi, functionName: 'get', args: [root, key, proof] })
    try {
      const answer = await parent.client.request({ method: 'eth_call', params: [{ to: address, data }, 'latest'] })
      return { value: decodeFunctionResult({ abi, functionName: 'get', data: answer }) }
    } catch (failure) {
      const reason = failure.walk?.(({ data }) => typeof data === 'string')?.data
      if (!reason) throw failure
      return { error: errorIn(reason) }
    }
  }

  /** Refused for one of the reasons that there are. */
  async function refuses(asked, what) {
    const { value, error } = await get(asked)
    assert.equal(value, undefined, `taken: ${what} ${JSON.stringify(asked)}`)
    assert.ok(error in reasons, `${what}: ${error}`)
    reasons[error]++
    return error
  }

  const gives = async (asked, value) => assert.deepEqual(await get(asked), { value }, JSON.stringify(asked))

  before(async () => {
    parent = await startParent()
    reader = await deploy(parent.client, testContracts().Proofs)
  })
  after(() => stop(parent))

  /** Tries proofs of one trie, and changes of them; returns how many of each. */
  async function tryTrie(seed) {
    const random = chance(seed)
    const keys = keysOf(random, COUNTS[seed % COUNTS.length])
    const value = random.pick(['0x01', '0x01', '0x01', '0x02', '0x8180', `0xa0${'ff'.repeat(32)}`])
    const trie = await Trie.create({ useKeyHashing: false })
    for (const key of keys) await trie.put(hexToBytes(key), hexToBytes(value))
    const root = toHex(trie.root())
    const done = { taken: 0, changed: 0 }
    while (done.changed < A_TRIE) {
      const key = random.pick(keys)
      const whole = (await trie.createProof(hexToBytes(key))).map((node) => toHex(node))
      const short = whole.filter((node, at) => at === 0 || node.length >= HASH_DIGITS)
      // Nodes that lie in their parents may be given down to any depth.
      const forms = Array.from({ length: whole.length - short.length + 1 }, (_, more) => whole.slice(0, short.length + more))
      for (const proof of forms) await gives({ root, key, proof }, value)
      done.taken += forms.length
      const tried = Array.from({ length: 40 }, () => {
        const asked = { root, key, proof: [...random.pick(forms)] }
        const kind = random.pick(kinds)
        mutations[kind](random, asked, random.below(asked.proof.length))
        // A neighbour's proof may be the same: short leaves are equal.
        const good = asked.root === root && keys.includes(asked.key)
          && (asked.key !== key || forms.some((form) => same(form, asked.proof)))
        return good ? undefined : refuses(asked, `seed ${seed}, ${kind}`)
      })
      done.changed += (await Promise.all(tried)).filter(Boolean).length
    }
    return done
  }

  it('nodes changed, missing, twice or left over prove nothing (BNB, October 2022; Hyperbridge, April 2026)', async () => {
    const all = { tries: 0, taken: 0, changed: 0 }
    for (; all.changed < MUTATIONS; all.tries++) {
      const { taken, changed } = await tryTrie(FIRST_SEED + all.tries)
      all.taken += taken
      all.changed += changed
    }
    const seeds = `seeds ${FIRST_SEED}..${FIRST_SEED + all.tries}`
    const figures = Object.entries(reasons).filter(([, count]) => count).map(([name, count]) => `${name} ${count}`).join(', ')
    console.log(`proofs: ${seeds}, ${all.taken} taken, ${all.changed} changed ones refused: ${figures}`)
  })

  it('no nodes, and a root of zero, prove nothing (Nomad, August 2022)', async () => {
    await gives({ root: keccak256(LEAF), key: KEY, proof: [LEAF] }, '0x01')
    assert.equal(await refuses({ root: keccak256(LEAF), key: KEY, proof: [] }), 'ProofEnds')
    assert.equal(await refuses({ root: pad('0x'), key: KEY, proof: ['0x'] }), 'NodeDiffers')
    assert.equal(await refuses({ root: keccak256(LEAF), key: KEY, proof: Array(66).fill(LEAF) }), 'ProofTooLong')
  })

  it('a node has one encoding, whatever its hash says (BNB, October 2022)', async () => {
    const of = (byte, length) => `0x${byte.repeat(length)}`
    const malformed = {
      'the long form of the list': `0xf8${((LEAF.length - 4) / 2).toString(16)}${LEAF.slice(4)}`,
      'the long form of the value': `0xe4a120${'ab'.repeat(32)}8101`,
      'padding': toRlp([`0x21${'ab'.repeat(32)}`, '0x01']),
      'a kind of path that is none': toRlp([`0x40${'ab'.repeat(32)}`, '0x01']),
      'a leaf without a value': toRlp([`0x20${'ab'.repeat(32)}`, '0x']),
      'a leaf with a list': toRlp([`0x20${'ab'.repeat(32)}`, ['0x01']]),
      'three items': toRlp([`0x20${'ab'.repeat(32)}`, '0x01', '0x01']),
      'one item': toRlp([`0x20${'ab'.repeat(32)}`]),
      'no items': '0xc0',
      'the empty trie': '0x80',
      'no bytes': '0x',
      'a string': toRlp(of('ab', 40)),
      'a byte behind it': `${LEAF}00`,
      'a list that is longer than it says': `0xe4${LEAF.slice(4)}`,
      'an extension of nothing': extension('', of('11', 32)),
      'an empty path': toRlp(['0x', of('11', 32)]),
      'a list as path': toRlp([[`0x20${'ab'.repeat(32)}`], '0x01']),
      'a size that begins with zero': '0xb9000100',
      'a size of three bytes': '0xfa00000180',
      '18 items': toRlp(Array(18).fill('0x')),
      '16 items': toRlp(Array(16).fill('0x')),
      'a branch with a value': branch(of('22', 32), '0x01'),
      'a child of 31 bytes': branch(of('22', 31)),
      'a child of 33 bytes': branch(of('22', 33)),
      'a child in it that has a hash': branch([of('22', 28), '0x8001']),
    }
    for (const [name, node] of Object.entries(malformed)) {
      const asked = { root: keccak256(node), key: KEY, proof: [node] }
      assert.equal(await refuses(asked, name), 'NodeMalformed', name)
      await refuses({ ...asked, proof: [node, LEAF] }, name)
    }
    const others = {
      KeyMissing: [toRlp([`0x3a${'ab'.repeat(32)}`, '0x01']), extension('ab'.repeat(32), of('11', 32))],
      NodeTooLong: [toRlp([...Array(16).fill(of('22', 32)), of('33', 40)])],
    }
    for (const [error, nodes] of Object.entries(others)) {
      for (const node of nodes) assert.equal(await refuses({ root: keccak256(node), key: KEY, proof: [node] }, node), error)
    }
  })

  it('a trie has one shape (Hyperbridge, April 2026)', async () => {
    const ask = (proof) => refuses({ root: keccak256(proof[0]), key: KEY, proof }, proof)
    const leaf = toRlp([`0x20${'ab'.repeat(31)}`, '0x01'])
    const first = extension('ab', keccak256(leaf))
    assert.equal(await ask([first, leaf]), 'NodeMalformed', 'a leaf behind an extension')
    assert.equal(await ask([extension('ab', keccak256(first)), first, leaf]), 'NodeMalformed', 'an extension behind another')

    const short = ['0x3b', '0x01']
    const byHash = branch(keccak256(toRlp(short)))
    const above = extension('ab'.repeat(31), keccak256(byHash))
    assert.equal(await ask([above, byHash, toRlp(short)]), 'NodeMalformed', 'a short leaf by its hash')
    const within = branch(short)
    assert.equal(await ask([extension('ab'.repeat(31), keccak256(within)), within]), 'NodeMalformed', 'a short branch by its hash')

    const whole = extension('ab'.repeat(31), [...Array(10).fill('0x'), short, ...Array(6).fill('0x')])
    for (const proof of [[whole], [whole, within], [whole, within, toRlp(short)]]) {
      await gives({ root: keccak256(whole), key: KEY, proof }, '0x01')
    }
    assert.equal(await ask([whole, toRlp(short)]), 'NodeDiffers', 'another node than lies in the parent')
  })
})
