// What the chain tells of its prices: L1Block as op-geth reads it, GasPriceOracle against FastLZ, and viem's estimates.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { concat, hexToBytes, numberToHex, pad, toHex } from 'viem'
import { MODULES } from '../lib.mjs'
import { FIRST_SEED, GENESIS, accounts, cases, chance, lacking, read, startChain, stop } from './parts.mjs'

const INPUTS = cases(100)
const TIMEOUT = 24 * 3600 * 1000
const { L1Block, GasPriceOracle } = GENESIS

const BASE_FEE = 1_000_000_007n
const BLOB_BASE_FEE = 33_000_001n
const BASE_FEE_SCALAR = 5227
const BLOB_BASE_FEE_SCALAR = 1_014_213
const OPERATOR_FEE_SCALAR = 2_000_000
const OPERATOR_FEE_CONSTANT = 55
/** A signature and what is around it. */
const UNSIGNED_BYTES = 68

/** In units of a millionth of a byte: Fjord's line, and its least. */
function estimatedSize(compressed) {
  const size = 836_500n * BigInt(compressed + UNSIGNED_BYTES) - 42_585_600n
  return size < 100_000_000n ? 100_000_000n : size
}

const fee = (compressed) => estimatedSize(compressed)
  * (16n * BigInt(BASE_FEE_SCALAR) * BASE_FEE + BigInt(BLOB_BASE_FEE_SCALAR) * BLOB_BASE_FEE) / 10n ** 12n

/** FastLZ of level 1, from the description of its format. */
function compress(input) {
  const out = []
  const table = new Int32Array(8192)
  const three = (at) => input[at] | (input[at + 1] << 8) | (input[at + 2] << 16)
  const place = (value) => Math.imul(value, 2654435769) >>> 19 & 8191
  const limit = input.length < 13 ? 0 : input.length - 13
  let at = 2
  let written = 0
  const literals = (end) => {
    while (written < end) {
      const count = Math.min(32, end - written)
      out.push(count - 1, ...input.slice(written, written + count))
      written += count
    }
  }
  while (at < limit) {
    let before, sequence
    do {
      sequence = three(at)
      before = table[place(sequence)]
      table[place(sequence)] = at
      if (at >= limit) break
      at++
    } while (at - 1 - before >= 8192 || sequence !== three(before))
    if (at >= limit) break
    at--
    literals(at)
    const distance = at - before - 1
    // It counts the byte that differs, too.
    let length = 0
    for (let ahead = 3; at + ahead < limit + 9; ahead++) {
      length++
      if (input[before + ahead] !== input[at + ahead]) break
    }
    let left = length
    for (; left > 262; left -= 262) out.push(0xe0 | (distance >> 8), 253, distance & 255)
    if (left < 7) out.push((left << 5) | (distance >> 8), distance & 255)
    else out.push(0xe0 | (distance >> 8), left - 7, distance & 255)
    at += length
    for (let twice = 0; twice < 2; twice++) {
      table[place(three(at))] = at
      at++
    }
    written = at
  }
  literals(input.length)
  return out
}

function decompress(packed) {
  const out = []
  for (let at = 0; at < packed.length;) {
    const control = at === 0 ? packed[at++] & 31 : packed[at++]
    if (control < 32) {
      for (let left = control; left >= 0; left--) out.push(packed[at++])
      continue
    }
    const length = 2 + (control >> 5) + (control >> 5 === 7 ? packed[at++] : 0)
    const from = out.length - ((control & 31) << 8) - packed[at++] - 1
    for (let copied = 0; copied < length; copied++) out.push(out[from + copied])
  }
  return out
}

/** Bytes with few different ones, and repeats. */
function repetitive(random) {
  const letters = 256 / (1 + random.below(4)) ** 2
  const bytes = []
  for (let left = random.below(900); left > 0; left--) {
    const repeats = bytes.length > 40 && random.below(10) < 7
    bytes.push(repeats ? bytes.at(-1 - random.below(40)) : random.below(Math.ceil(letters)))
  }
  return Uint8Array.from(bytes)
}

describe('prices', { timeout: TIMEOUT }, () => {
  let chain, client
  const words = (...parts) => pad(concat(parts.map(([value, size]) => numberToHex(value, { size }))), { size: 32 })
  const ask = (functionName, args) => read(client, GasPriceOracle, functionName, args)

  before(async () => {
    chain = await startChain()
    client = chain.client
    const slots = {
      0: words([1_700_000_000, 8], [123, 8]),
      1: words([BASE_FEE, 32]),
      2: `0x${'77'.repeat(32)}`,
      3: words([BASE_FEE_SCALAR, 4], [BLOB_BASE_FEE_SCALAR, 4], [9, 8]),
      4: pad(accounts[1].address, { size: 32 }),
      7: words([BLOB_BASE_FEE, 32]),
      8: words([OPERATOR_FEE_SCALAR, 4], [OPERATOR_FEE_CONSTANT, 8]),
    }
    for (const [index, value] of Object.entries(slots)) {
      await client.setStorageAt({ address: L1Block.address, index: Number(index), value })
    }
  })
  after(() => stop(chain))

  it('L1Block lies in storage as op-geth reads it', async () => {
    const expected = {
      number: 123n, timestamp: 1_700_000_000n, basefee: BASE_FEE, hash: `0x${'77'.repeat(32)}`, sequenceNumber: 9n,
      baseFeeScalar: BASE_FEE_SCALAR, blobBaseFeeScalar: BLOB_BASE_FEE_SCALAR, blobBaseFee: BLOB_BASE_FEE,
      batcherHash: pad(accounts[1].address.toLowerCase(), { size: 32 }), l1FeeOverhead: 0n, l1FeeScalar: 0n,
      operatorFeeScalar: OPERATOR_FEE_SCALAR, operatorFeeConstant: BigInt(OPERATOR_FEE_CONSTANT),
    }
    for (const [name, value] of Object.entries(expected)) assert.equal(await read(client, L1Block, name), value, name)
  })

  it('data costs what it is long in FastLZ, and never more than the bound', async () => {
    const random = chance(FIRST_SEED)
    const text = readFileSync(join(import.meta.dirname, '../package-lock.json'))
    const inputs = [
      ...[0, 1, 12, 13, 14, 15, 16, 1000, 20_000].map((length) => new Uint8Array(length)),
      new Uint8Array(1000).fill(1), random.bytes(1000), Uint8Array.from(text.subarray(0, 12_000)),
      hexToBytes(GENESIS.GasPriceOracle.code), hexToBytes(GENESIS.L2StandardBridge.code),
      // Around the longest match.
      ...Array.from({ length: 50 }, (_, more) => new Uint8Array(250 + more).fill(3)),
      ...Array.from({ length: INPUTS }, () => repetitive(random)),
    ]
    for (const [at, input] of inputs.entries()) {
      const what = `seed ${FIRST_SEED}, input ${at} of ${input.length} bytes`
      const packed = compress(input)
      if (input.length) assert.deepEqual(Uint8Array.from(decompress(packed)), Uint8Array.from(input), what)
      const found = await ask('getL1Fee', [toHex(input)])
      assert.equal(found, fee(packed.length), what)
      assert.equal(await ask('getL1GasUsed', [toHex(input)]), estimatedSize(packed.length) * 16n / 1_000_000n, what)
      assert.ok(await ask('getL1FeeUpperBound', [BigInt(input.length)]) >= found, what)
    }
    console.log(`prices: seed ${FIRST_SEED}, ${inputs.length} inputs of ${inputs.reduce((sum, { length }) => sum + length, 0)} bytes`)
  })

  it('viem estimates fees', async () => {
    const account = accounts[0]
    const to = accounts[1].address
    const request = { account, to, value: 1n, data: `0x${'ab'.repeat(300)}` }
    const fee = await client.estimateL1Fee(request)
    assert.ok(fee > 0n)
    assert.ok(await client.estimateL1Gas(request) > 0n)
    assert.ok(await client.estimateTotalFee(request) > fee)
    assert.equal(await client.getL1BaseFee(), BASE_FEE)
    const operators = 21_000n * 2n + BigInt(OPERATOR_FEE_CONSTANT)
    assert.equal(await client.estimateOperatorFee({ account, to }), operators)
    assert.equal(await client.estimateOperatorFee({ account, to, l1BlockAddress: L1Block.address }), operators)
  })

  it('lacks nothing of the ABIs that viem has', async () => {
    const { gasPriceOracleAbi, l1BlockAbi } = await import(join(MODULES, 'viem/_esm/op-stack/abis.js'))
    assert.deepEqual(lacking(gasPriceOracleAbi, GasPriceOracle.abi), [])
    assert.deepEqual(lacking(l1BlockAbi, L1Block.abi), [])
  })
})
