// The hash of a block is the hash of the header fields that eth_getBlockByNumber shows: recomputed with three tools.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { encodeRlp, keccak256 as ethersKeccak256 } from 'ethers'
import { keccak256, toHex, toRlp } from 'viem'
import { RPC, cast, fund, freshAccount, rpc } from '../lib.mjs'

const BLOCKS = 5

/** In header order, as of Prague and Osaka; the quantities are RLP integers, without leading zeros. */
const FIELDS = [
  'parentHash', 'sha3Uncles', 'miner', 'stateRoot', 'transactionsRoot', 'receiptsRoot', 'logsBloom', 'difficulty',
  'number', 'gasLimit', 'gasUsed', 'timestamp', 'extraData', 'mixHash', 'nonce', 'baseFeePerGas', 'withdrawalsRoot',
  'blobGasUsed', 'excessBlobGas', 'parentBeaconBlockRoot', 'requestsHash',
]
const QUANTITIES = [
  'difficulty', 'number', 'gasLimit', 'gasUsed', 'timestamp', 'baseFeePerGas', 'blobGasUsed', 'excessBlobGas',
]

function header(block) {
  return FIELDS.map((field) => {
    assert.notEqual(block[field], undefined, `block ${block.number} has no ${field}`)
    if (!QUANTITIES.includes(field)) return block[field]
    const digits = block[field].slice(2)
    return digits === '0' ? '0x' : `0x${digits.length % 2 ? '0' : ''}${digits}`
  })
}

const tools = {
  viem: (fields) => keccak256(toRlp(fields)),
  ethers: (fields) => ethersKeccak256(encodeRlp(fields)),
  cast: async (fields) => cast('keccak', await cast('to-rlp', JSON.stringify(fields))),
}

describe('hash', () => {
  let blocks

  before(async () => {
    const head = Number((await fund(freshAccount().address, '0.1')).blockNumber)
    for (let missing = BLOCKS - head - 1; missing > 0; missing--) await fund(freshAccount().address, '0.1')
    const last = Number(await rpc(RPC, 'eth_blockNumber'))
    const numbers = [0, ...Array.from({ length: BLOCKS - 1 }, (_, i) => last - i)]
    blocks = await Promise.all(numbers.map((number) => rpc(RPC, 'eth_getBlockByNumber', [toHex(number), false])))
    assert.equal(new Set(blocks.map((block) => block.hash)).size, BLOCKS)
  })

  for (const [name, hash] of Object.entries(tools)) {
    it(`genesis and the last ${BLOCKS - 1} blocks with ${name}`, async () => {
      for (const block of blocks) assert.equal(await hash(header(block)), block.hash, `block ${block.number}`)
    })
  }
})
