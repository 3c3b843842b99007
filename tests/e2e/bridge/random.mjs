// Random steps against a model of oracle and portal: which calls succeed, what the portal holds, and who was paid.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Trie } from '@ethereumjs/trie'
import { concat, encodeFunctionData, hexToBytes, keccak256, numberToHex, toHex, zeroHash } from 'viem'
import {
  FIRST_SEED, MAX_GAS, PARENTS, accounts, cases, chance, deploy, outputRoot, read, startParent, stop, withdrawalHash,
} from './parts.mjs'

const SEEDS = cases(2)
const STEPS = 400
const LOOK_EVERY = 50
const PERIOD = 1000n
const FALLBACK = 5000n
const INTERVAL = 3n
const PAUSE = 14n * 86_400n
const WITHDRAWALS = 40
const WORLDS = 6
const TIMEOUT = 24 * 3600 * 1000
const GAS = 1_500_000n

const [owner, poster, proposer, guardian] = accounts.map(({ address }) => address)
const KINDS = Object.entries({ deposit: 1, propose: 3, remove: 2, prove: 4, finalize: 5, pause: 1, unpause: 2 })
  .flatMap(([kind, times]) => Array(times).fill(kind))

/** What the passer's storage may be: some withdrawals and other things, and a proof of each withdrawal, true or not. */
async function worldOf(random, withdrawals, number) {
  const trie = await Trie.create({ useKeyHashing: false })
  const has = withdrawals.map((_, at) => at <= number * 2 || random.below(3) === 0)
  const keys = withdrawals.map((withdrawal) => hexToBytes(keccak256(keccak256(concat([withdrawalHash(withdrawal), zeroHash])))))
  for (const [at, key] of keys.entries()) if (has[at]) await trie.put(key, hexToBytes('0x01'))
  for (let left = 30; left > 0; left--) await trie.put(random.bytes(32), hexToBytes('0x02'))
  const root = toHex(trie.root())
  const parts = { version: zeroHash, stateRoot: random.hex(32), messagePasserStorageRoot: root, latestBlockhash: random.hex(32) }
  const proofs = await Promise.all(keys.map(async (key) => (await trie.createProof(key)).map((node) => toHex(node))))
  return { has, parts, proofs, root: outputRoot(parts) }
}

/** What the contracts should do, in few words. Each step says who calls what, whether it may, and what is so afterwards. */
class Model {
  outputs = []
  proven = new Map()
  paid = new Map()
  held = 0n
  pausedUntil = 0n
  pausableFrom = 0n

  constructor(random, withdrawals, worlds, start) {
    Object.assign(this, { random, withdrawals, worlds, changedAt: start })
  }

  rootAt = (index) => this.outputs[index]?.root
  standing = (at) => this.proven.has(at) && this.rootAt(this.proven.get(at).index) === this.proven.get(at).root

  deposit() {
    const value = BigInt(this.random.below(20))
    return {
      call: ['portal', 'depositTransaction', [owner, 0n, 100_000n, false, '0x']], by: owner, value, may: true,
      then: () => { this.held += value },
    }
  }

  propose(time) {
    const by = this.random.pick([proposer, proposer, proposer, owner])
    const world = this.random.pick(this.worlds)
    const last = this.outputs.at(-1)?.number ?? 0n
    const number = last + BigInt(this.random.below(8))
    return {
      call: ['oracle', 'proposeL2Output', [world.root, number, zeroHash, 0n]], by,
      may: number >= last + INTERVAL && (by === proposer || time > this.changedAt + FALLBACK),
      then: () => {
        this.outputs.push({ root: world.root, number, time, world })
        this.changedAt = time
      },
    }
  }

  remove(time) {
    const index = Math.max(0, this.outputs.length - this.random.below(4))
    const by = this.random.below(5) ? guardian : proposer
    return {
      call: ['oracle', 'deleteL2Outputs', [BigInt(index)]], by,
      may: by === guardian && index < this.outputs.length && time <= this.outputs[index].time + PERIOD,
      then: () => {
        this.outputs.length = index
        this.changedAt = time
      },
    }
  }

  prove(time) {
    const { random, outputs } = this
    const at = random.below(WITHDRAWALS)
    const index = random.below(3) ? Math.max(0, outputs.length - 1 - random.below(2)) : random.below(outputs.length + 1)
    const world = (random.below(4) && outputs[index]?.world) || random.pick(this.worlds)
    const root = this.rootAt(index)
    return {
      call: ['portal', 'proveWithdrawalTransaction', [this.withdrawals[at], BigInt(index), world.parts, world.proofs[at]]], by: owner,
      may: !this.paid.has(at) && !this.standing(at) && root === world.root && world.has[at],
      then: () => this.proven.set(at, { index, root, time }),
    }
  }

  finalize(time) {
    const { random, proven } = this
    const at = proven.size && random.below(4) ? random.pick([...proven.keys()]) : random.below(WITHDRAWALS)
    const { value } = this.withdrawals[at]
    const old = (since) => time > since + PERIOD
    return {
      call: ['portal', 'finalizeWithdrawalTransaction', [this.withdrawals[at]]], by: owner,
      may: this.standing(at) && !this.paid.has(at) && time >= this.pausedUntil && old(proven.get(at).time)
        && old(this.outputs[proven.get(at).index].time) && this.held >= value,
      then: () => {
        this.paid.set(at, value)
        this.held -= value
      },
    }
  }

  pause(time) {
    const by = this.random.below(4) ? guardian : owner
    return {
      call: ['portal', 'pause', []], by, may: by === guardian && time >= this.pausableFrom,
      then: () => {
        this.pausedUntil = time + PAUSE
        this.pausableFrom = time + 2n * PAUSE
      },
    }
  }

  unpause(time) {
    return {
      call: ['portal', 'unpause', []], by: guardian, may: time < this.pausedUntil,
      then: () => {
        this.pausedUntil = time
        this.pausableFrom = time + PAUSE
      },
    }
  }
}

/** One seed; returns how often each kind of step went through, and was refused. */
async function run(seed, client) {
  const random = chance(seed)
  const { timestamp } = await client.getBlock()
  const config = await deploy(client, PARENTS.SystemConfig, [owner, [poster], [poster], [proposer]])
  const oracle = await deploy(client, PARENTS.OutputOracle, [{
    systemConfig: config.address, guardian, submissionInterval: INTERVAL, blockTime: 1n, startingBlockNumber: 0n,
    startingTimestamp: timestamp, finalizationPeriod: PERIOD, fallbackDelay: FALLBACK,
  }])
  const portal = await deploy(client, PARENTS.Portal, [MAX_GAS, oracle.address, true])
  const contracts = { oracle, portal }

  const withdrawals = Array.from({ length: WITHDRAWALS }, (_, at) => ({
    nonce: (1n << 240n) + BigInt(at), sender: owner, target: numberToHex(0xbeef00 + at, { size: 20 }), value: BigInt(at + 1),
    gasLimit: BigInt(random.below(50_000)), data: '0x',
  }))
  const worlds = []
  for (let number = 0; number < WORLDS; number++) worlds.push(await worldOf(random, withdrawals, number))
  const { timestamp: start } = await client.getBlock({ blockNumber: oracle.blockNumber })
  const model = new Model(random, withdrawals, worlds, start)

  async function look() {
    for (const [at, { target }] of withdrawals.entries()) {
      assert.equal(await client.getBalance({ address: target }), model.paid.get(at) ?? 0n, `paid to ${at}`)
      const [root, time] = await read(client, portal, 'provenWithdrawals', [withdrawalHash(withdrawals[at])])
      const expected = model.standing(at) ? [model.proven.get(at).root, model.proven.get(at).time] : [zeroHash, 0n]
      assert.deepEqual([root, time], expected, `proof of ${at}`)
    }
  }

  const counts = {}
  let { timestamp: time } = await client.getBlock()
  for (let step = 0; step < STEPS; step++) {
    const waits = [0n, 1n, 10n, 30n, 50n, 20n, 100n, PERIOD, BigInt(random.below(400)), random.below(20) ? 1n : PAUSE]
    time += random.pick(waits) + 1n
    const kind = random.pick(KINDS)
    const { call: [to, functionName, args], by, value = 0n, may, then } = model[kind](time)
    const { address, abi } = contracts[to]
    const data = encodeFunctionData({ abi, functionName, args })
    await client.setNextBlockTimestamp({ timestamp: time })
    const transaction = { from: by, to: address, data, value: toHex(value), gas: toHex(GAS) }
    const hash = await client.request({ method: 'eth_sendTransaction', params: [transaction] })
    const { status } = await client.waitForTransactionReceipt({ hash })
    assert.equal(status, may ? 'success' : 'reverted', `step ${step}, ${kind}`)
    if (may) then()
    const name = `${kind} ${may ? 'done' : 'refused'}`
    counts[name] = (counts[name] ?? 0) + 1
    assert.equal(await client.getBalance({ address: portal.address }), model.held, `step ${step}: held after ${kind}`)
    if (step % LOOK_EVERY === 0) await look()
  }
  await look()
  return counts
}

describe('random', { timeout: TIMEOUT }, () => {
  it('every step goes as the model says', async () => {
    const all = {}
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const parent = await startParent()
      try {
        const counts = await run(seed, parent.client)
        for (const [name, count] of Object.entries(counts)) all[name] = (all[name] ?? 0) + count
      } catch (error) {
        throw new Error(`seed ${seed}: ${error.message}`, { cause: error })
      } finally {
        await stop(parent)
      }
    }
    const figures = Object.keys(all).sort().map((name) => `${name} ${all[name]}`).join(', ')
    console.log(`random: seeds ${FIRST_SEED}..${FIRST_SEED + SEEDS}, ${SEEDS * STEPS} steps: ${figures}`)
    // One seed may do without some.
    if (SEEDS < 2) return
    for (const kind of ['propose', 'remove', 'prove', 'finalize', 'pause', 'unpause']) {
      for (const outcome of ['done', 'refused']) assert.ok(all[`${kind} ${outcome}`] > 0, `no ${kind} was ${outcome}`)
    }
  })
})
