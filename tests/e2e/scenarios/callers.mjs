// Internal transactions, as Blockscout, graph-node and Foundry read them.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { encodeFunctionData, hexToNumber, toHex } from 'viem'
import {
  FEES, RPC, cast, contract, deploy, freshAccount, fundedAccount, rpc, waitForReceipt, walletClient,
} from '../lib.mjs'

const CALL_TRACER = { tracer: 'callTracer', tracerConfig: { withLog: true } }
const probe = contract('Probe')
const factory = contract('MortalFactory')
let account, address, factoryAddress, stored, closed, failed

before(async () => {
  account = await fundedAccount()
  address = await deploy(probe, [], account)
  factoryAddress = await deploy(factory, [], account)
  const wallet = walletClient(account)
  const write = async (request) =>
    waitForReceipt(await wallet.writeContract({ gas: 1_000_000n, ...FEES, ...request }))
  stored = await write({ address, abi: probe.abi, functionName: 'store', args: [1n, 2n] })
  closed = await write({
    address: factoryAddress, abi: factory.abi, functionName: 'createAndClose', args: [freshAccount().address], value: 5n,
  })
  failed = await write({ address, abi: probe.abi, functionName: 'fail' })
})

describe('traces: callTracer', () => {
  it('a transaction is its frame, with the gas of the receipt', async () => {
    const trace = await rpc(RPC, 'debug_traceTransaction', [stored.transactionHash, CALL_TRACER])
    const input = encodeFunctionData({ abi: probe.abi, functionName: 'store', args: [1n, 2n] })
    assert.deepEqual([trace.type, trace.from, trace.to, trace.input, trace.value],
      ['CALL', account.address.toLowerCase(), address, input, '0x0'])
    assert.equal(BigInt(trace.gasUsed), stored.gasUsed)
    assert.equal(trace.error, undefined)
    assert.deepEqual(trace.logs.map(({ topics, data }) => ({ topics, data })),
      stored.logs.map(({ topics, data }) => ({ topics, data })))
  })

  it('creation, call and end of a contract lie inside the one that caused them', async () => {
    const trace = await rpc(RPC, 'debug_traceTransaction', [closed.transactionHash, CALL_TRACER])
    const [create, close] = trace.calls
    assert.deepEqual([create.type, create.from, create.value], ['CREATE', factoryAddress, '0x5'])
    assert.deepEqual([close.type, close.from, close.to], ['CALL', factoryAddress, create.to])
    assert.deepEqual(close.calls.map(({ type, from, value }) => [type, from, value]), [['SELFDESTRUCT', create.to, '0x5']])
  })

  it('a revert has its reason', async () => {
    const trace = await rpc(RPC, 'debug_traceTransaction', [failed.transactionHash, CALL_TRACER])
    assert.deepEqual([trace.error, trace.revertReason], ['execution reverted', 'not today'])
    assert.ok(trace.output.startsWith('0x08c379a0'))
  })

  it('a block by number and by hash: each of its transactions, in order', async () => {
    for (const { blockNumber, blockHash } of [stored, closed, failed]) {
      const { transactions } = await rpc(RPC, 'eth_getBlockByHash', [blockHash, false])
      const traces = await rpc(RPC, 'debug_traceBlockByNumber', [toHex(blockNumber), CALL_TRACER])
      assert.deepEqual(traces.map(({ txHash }) => txHash), transactions)
      assert.deepEqual(await rpc(RPC, 'debug_traceBlockByHash', [blockHash, CALL_TRACER]), traces)
      for (const { txHash, result } of traces) {
        assert.deepEqual(await rpc(RPC, 'debug_traceTransaction', [txHash, CALL_TRACER]), result)
        const { gasUsed } = await rpc(RPC, 'eth_getTransactionReceipt', [txHash])
        assert.equal(hexToNumber(result.gasUsed), hexToNumber(gasUsed))
      }
    }
  })
})

describe('traces: the others', () => {
  it('prestateTracer tells what changed', async () => {
    const { pre, post } = await rpc(RPC, 'debug_traceTransaction', [
      stored.transactionHash, { tracer: 'prestateTracer', tracerConfig: { diffMode: true } },
    ])
    const sender = account.address.toLowerCase()
    assert.equal(post[sender].nonce, pre[sender].nonce + 1)
    assert.equal(Number(post[address].storage[toHex(1, { size: 32 })]), 1)
  })

  it('trace_block, as graph-node reads calls', async () => {
    const traces = await rpc(RPC, 'trace_block', [toHex(closed.blockNumber)])
    const own = traces.filter(({ transactionHash }) => transactionHash === closed.transactionHash)
    assert.deepEqual(own.map(({ type, traceAddress }) => [type, traceAddress]),
      [['call', []], ['create', [0]], ['call', [1]], ['suicide', [1, 0]]])
  })

  it('debug_traceCall of what would fail', async () => {
    const data = encodeFunctionData({ abi: probe.abi, functionName: 'fail' })
    const call = { from: account.address, to: address, data }
    const trace = await rpc(RPC, 'debug_traceCall', [call, 'latest', { tracer: 'callTracer' }])
    assert.equal(trace.revertReason, 'not today')
  })

  it('cast run --quick replays a transaction', async () => {
    assert.match(await cast('run', '--quick', closed.transactionHash), /createAndClose|selfdestruct|SelfDestruct/i)
  })
})
