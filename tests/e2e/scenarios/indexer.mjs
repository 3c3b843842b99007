// Reads the chain as indexers do: graph-node and ponder by block receipts and logs, Blockscout by batches.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { encodeFunctionData, getAddress, hexToNumber, keccak256, parseEventLogs, toHex } from 'viem'
import { iterateLogs } from 'viem/actions'
import {
  CHAIN_ID, FEES, RPC, contract, deploy, fundedAccount, isAnvil, publicClient, rpc, rpcBatch, rpcResponse, until,
  waitForReceipt, walletClient, webSocketClient,
} from '../lib.mjs'

/** What one answer of eth_getLogs holds at most; see docs/operating.md. */
const MOST_LOGS = 10_000
const TICKS = [6_000, 6_000, 3_000]

const client = publicClient()
const crowd = contract('Crowd')
let account, address, ticked

before(async () => {
  account = await fundedAccount()
  address = await deploy(crowd, [], account)
  const wallet = walletClient(account)
  ticked = []
  for (const [i, count] of TICKS.entries()) {
    const first = BigInt(TICKS.slice(0, i).reduce((sum, n) => sum + n, 0))
    const hash = await wallet.writeContract({
      address, abi: crowd.abi, functionName: 'tick', args: [first, first + BigInt(count)], gas: 12_000_000n, ...FEES,
    })
    const receipt = await waitForReceipt(hash)
    assert.equal(receipt.logs.length, count)
    ticked.push(receipt.blockNumber)
  }
  assert.equal(new Set(ticked).size, TICKS.length, 'each in a block of its own')
})

/** Three bits of 2048 for each address and topic (Yellow Paper, 4.3.1). */
function bloomOf(logs) {
  const bloom = Buffer.alloc(256)
  for (const value of new Set(logs.flatMap((log) => [log.address, ...log.topics]))) {
    const hash = Buffer.from(keccak256(value).slice(2), 'hex')
    for (const at of [0, 2, 4]) {
      const bit = hash.readUInt16BE(at) & 2047
      bloom[255 - (bit >> 3)] |= 1 << (bit & 7)
    }
  }
  return toHex(bloom)
}

describe('indexer: graph-node and ponder', () => {
  it('a block is its header, its transactions and its receipts, and all agree', async () => {
    const head = hexToNumber(await rpc(RPC, 'eth_blockNumber'))
    const blocks = await rpcBatch(RPC, Array.from({ length: Math.min(head + 1, 40) }, (_, i) =>
      ['eth_getBlockByNumber', [toHex(head - i), true]]))
    assert.ok(blocks.some((block) => block.transactions.length > 0))
    for (const [i, block] of blocks.entries()) {
      if (i > 0) assert.equal(blocks[i - 1].parentHash, block.hash)
      const receipts = await rpc(RPC, 'eth_getBlockReceipts', [block.hash])
      assert.deepEqual(await rpc(RPC, 'eth_getBlockReceipts', [block.number]), receipts)
      assert.deepEqual(await rpc(RPC, 'eth_getBlockReceipts', [{ blockHash: block.hash }]), receipts)
      assert.deepEqual(receipts.map((receipt) => receipt.transactionHash), block.transactions.map(({ hash }) => hash))

      const logs = receipts.flatMap((receipt) => receipt.logs)
      assert.deepEqual(logs.map((log) => hexToNumber(log.logIndex)), logs.map((_, index) => index))
      assert.deepEqual(await rpc(RPC, 'eth_getLogs', [{ blockHash: block.hash }]), logs)
      let [bloom, gas] = [0n, 0]
      for (const [index, receipt] of receipts.entries()) {
        const transaction = block.transactions[index]
        assert.equal(bloomOf(receipt.logs), receipt.logsBloom)
        bloom |= BigInt(receipt.logsBloom)
        assert.equal(hexToNumber(receipt.cumulativeGasUsed), gas += hexToNumber(receipt.gasUsed))
        const place = { blockHash: block.hash, blockNumber: block.number, transactionIndex: toHex(index) }
        for (const thing of [receipt, transaction]) {
          assert.deepEqual(place, Object.fromEntries(Object.keys(place).map((key) => [key, thing[key]])))
        }
        for (const key of ['from', 'to', 'type']) assert.equal(receipt[key], transaction[key], key)
        for (const log of receipt.logs) {
          assert.equal(log.blockTimestamp, block.timestamp)
          assert.equal(log.removed, false)
        }
      }
      assert.equal(hexToNumber(block.gasUsed), gas)
      assert.equal(BigInt(block.logsBloom), bloom)
    }
  })

  it('a receipt asked for alone is the one of its block', async () => {
    const [receipt] = await rpc(RPC, 'eth_getBlockReceipts', [toHex(ticked[2])])
    assert.deepEqual(await rpc(RPC, 'eth_getTransactionReceipt', [receipt.transactionHash]), receipt)
  })

  it('no receipts of a block that is not there', async () => {
    assert.equal(await rpc(RPC, 'eth_getBlockReceipts', ['0xffffffffff']), null)
    assert.equal(await rpc(RPC, 'eth_getBlockReceipts', [`0x${'12'.repeat(32)}`]), null)
  })

  it('a call at a block hash is a call at that block', async () => {
    const code = '0x435f5260205ff3' // NUMBER, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN
    for (const number of ticked) {
      const { hash } = await rpc(RPC, 'eth_getBlockByNumber', [toHex(number), false])
      assert.equal(BigInt(await rpc(RPC, 'eth_call', [{ data: code }, { blockHash: hash }])), number)
    }
  })

  it('what a client asks when it starts', async () => {
    assert.equal(await rpc(RPC, 'net_version'), String(CHAIN_ID))
    assert.match(await rpc(RPC, 'web3_clientVersion'), /^[a-z]+\/v/)
    const { result } = await (await fetch(RPC, {
      method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 'a', method: 'eth_chainId' }),
    })).json()
    assert.equal(Number(result), CHAIN_ID, 'without params')
  })
})

describe('indexer: more logs than one answer holds', () => {
  const filter = (from, to) => ({ address, fromBlock: toHex(from), toBlock: toHex(to) })

  it('the error says which range to ask for, and following it finds every log', async (t) => {
    if (await isAnvil()) return t.skip('anvil has no limit')
    const errors = []
    const found = []
    const last = ticked.at(-1)
    for (let from = ticked[0], to = last; from <= last;) {
      const { result, error } = await rpcResponse(RPC, 'eth_getLogs', [filter(from, to)])
      if (error) {
        errors.push(error)
        // As ponder and Foundry read it.
        const range = error.message.match(/query exceeds max results (\d+), retry with the range (\d+)-(\d+)/)
        assert.ok(range, error.message)
        assert.deepEqual([Number(range[1]), BigInt(range[2])], [MOST_LOGS, from])
        assert.ok(BigInt(range[3]) < to, 'the range is smaller')
        to = BigInt(range[3])
      } else {
        found.push(...result)
        from = to + 1n
        to = last
      }
    }
    assert.deepEqual(errors.map(({ code }) => code), [-32602])
    const numbers = parseEventLogs({ abi: crowd.abi, logs: found }).map(({ args }) => Number(args.number))
    assert.deepEqual(numbers, Array.from({ length: TICKS.reduce((sum, n) => sum + n) }, (_, i) => i))
  })

  it('viem halves the range by itself', async () => {
    const event = crowd.abi.find(({ type }) => type === 'event')
    const pages = []
    for await (const page of iterateLogs(client, { address, event, fromBlock: ticked[0], toBlock: ticked.at(-1) })) {
      pages.push(page.logs.length)
    }
    assert.equal(pages.reduce((sum, n) => sum + n), TICKS.reduce((sum, n) => sum + n))
    if (!await isAnvil()) assert.ok(pages.length > 1, 'one page would be too large')
  })

  it('topics are alternatives in a position, and any in an empty one', async () => {
    const [event] = parseEventLogs({ abi: crowd.abi, logs: (await waitForReceipt(
      (await rpc(RPC, 'eth_getBlockReceipts', [toHex(ticked[2])]))[0].transactionHash)).logs })
    const numbers = [12_001, 14_999, 15_000].map((number) => toHex(number, { size: 32 }))
    const ask = (topics) => rpc(RPC, 'eth_getLogs', [{ ...filter(ticked[2], ticked[2]), topics }])
    assert.equal((await ask([event.topics[0], numbers])).length, 2)
    assert.equal((await ask([null, [numbers[0]]])).length, 1)
    assert.equal((await ask([null, numbers[2]])).length, 0)
    assert.equal((await ask([numbers[0]])).length, 0)
    assert.equal((await ask([])).length, TICKS[2])
  })

  it('a range that is upside down is refused, and one beyond the head is empty', async (t) => {
    if (await isAnvil()) return t.skip('anvil does it the other way round')
    assert.deepEqual(await rpc(RPC, 'eth_getLogs', [filter(2n ** 40n, 2n ** 41n)]), [])
    const { error } = await rpcResponse(RPC, 'eth_getLogs', [filter(ticked[1], ticked[0])])
    assert.equal(error.code, -32602)
  })
})

describe('indexer: Blockscout', () => {
  it('blocks, receipts, balances and code in batches', async () => {
    const receipts = await rpc(RPC, 'eth_getBlockReceipts', [toHex(ticked[0])])
    const [{ transactionHash, blockHash, blockNumber }] = receipts
    const [block, transaction, receipt, balance, code, missing] = await rpcBatch(RPC, [
      ['eth_getBlockByNumber', [blockNumber, true]],
      ['eth_getTransactionByHash', [transactionHash]],
      ['eth_getTransactionReceipt', [transactionHash]],
      ['eth_getBalance', [account.address, blockNumber]],
      ['eth_getCode', [address, blockNumber]],
      ['eth_getBlockByNumber', ['0xffffffffff', true]],
    ])
    assert.equal(block.hash, blockHash)
    assert.deepEqual(block.transactions[hexToNumber(transaction.transactionIndex)], transaction)
    assert.deepEqual(receipt, receipts[hexToNumber(receipt.transactionIndex)])
    assert.ok(BigInt(balance) > 0n)
    assert.ok(code.length > 2)
    assert.equal(missing, null)
  })

  it('there are no uncles', async (t) => {
    const { hash, number, uncles } = await rpc(RPC, 'eth_getBlockByNumber', ['latest', false])
    assert.deepEqual(uncles, [])
    assert.deepEqual(await rpcBatch(RPC, [
      ['eth_getUncleCountByBlockHash', [hash]], ['eth_getUncleCountByBlockNumber', [number]],
      ['eth_getUncleByBlockHashAndIndex', [hash, '0x0']], ['eth_getUncleByBlockNumberAndIndex', [number, '0x0']],
    ]), ['0x0', '0x0', null, null])
    if (await isAnvil()) return t.skip('anvil refuses to count those of a block that is not there')
    assert.equal(await rpc(RPC, 'eth_getUncleCountByBlockHash', [`0x${'12'.repeat(32)}`]), null)
  })

  it('txpool_content shows what waits, and no more once it is in a block', async () => {
    const wallet = walletClient(account)
    const nonce = await client.getTransactionCount({ address: account.address })
    const send = (nonce) => wallet.sendTransaction({ to: account.address, gas: 21_000n, nonce, ...FEES })
    const later = await send(nonce + 1)
    const waiting = async () => {
      const { queued, pending } = await rpc(RPC, 'txpool_content')
      const of = (part) => part[Object.keys(part).find((sender) => getAddress(sender) === account.address)] ?? {}
      return { queued: of(queued), pending: of(pending) }
    }
    const { queued } = await waiting()
    const shown = queued[String(nonce + 1)]
    assert.equal(shown.hash, later)
    assert.deepEqual([shown.blockHash, shown.blockNumber, shown.transactionIndex], [null, null, null])
    assert.deepEqual([shown.from, hexToNumber(shown.nonce)], [account.address.toLowerCase(), nonce + 1])
    assert.ok(hexToNumber((await rpc(RPC, 'txpool_status')).queued) >= 1)

    await send(nonce)
    await waitForReceipt(later)
    assert.deepEqual(await waiting(), { queued: {}, pending: {} })
  })
})

describe('indexer: following the head', () => {
  /** What an indexer reads of a block that was announced. */
  async function read(head) {
    const [block, receipts] = await rpcBatch(RPC, [
      ['eth_getBlockByHash', [head.hash, true]], ['eth_getBlockReceipts', [head.hash]],
    ])
    assert.equal(receipts.length, block.transactions.length)
    // Some nodes send the transactions' hashes along.
    const { transactions, ...header } = head
    for (const [key, value] of Object.entries(header)) assert.deepEqual(block[key], value, key)
    return block
  }

  it('each announced block is there with its receipts and logs, and none is left out', async () => {
    const socket = webSocketClient()
    const [heads, logs] = [[], []]
    try {
      const watch = await Promise.all([
        socket.transport.subscribe({ params: ['newHeads'], onData: ({ result }) => heads.push(read(result)) }),
        socket.transport.subscribe({ params: ['logs', { address }], onData: ({ result }) => logs.push(result) }),
      ])
      const data = (n) => encodeFunctionData({ abi: crowd.abi, functionName: 'tick', args: [n, n + 2n] })
      const wallet = walletClient(account)
      const sent = []
      for (let n = 0n; n < 5n; n++) {
        const hash = await wallet.sendTransaction({ to: address, data: data(n), gas: 100_000n, ...FEES })
        const receipt = await waitForReceipt(hash)
        sent.push(...receipt.logs.map((log) => [log.blockHash, log.logIndex]))
      }
      await until('all logs are told', () => (logs.length >= sent.length ? true : undefined))
      const blocks = await Promise.all(heads)
      assert.deepEqual(logs.map((log) => [log.blockHash, hexToNumber(log.logIndex)]), sent)
      for (const [i, block] of blocks.entries()) if (i > 0) assert.equal(block.parentHash, blocks[i - 1].hash)
      assert.ok(sent.every(([hash]) => blocks.some((block) => block.hash === hash)))
      await Promise.all(watch.map(({ unsubscribe }) => unsubscribe()))
    } finally {
      (await socket.transport.getRpcClient()).close()
    }
  })
})
