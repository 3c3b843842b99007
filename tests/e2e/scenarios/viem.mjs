// What an application does with viem.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  BaseError, ContractFunctionRevertedError, ExecutionRevertedError, InsufficientFundsError, IntrinsicGasTooLowError,
  NonceTooLowError, concatHex, encodeFunctionData, keccak256, parseEther, toHex, toRlp,
} from 'viem'
import {
  CHAIN_ID, FEES, RPC, contract, deploy, freshAccount, fundedAccount, isAnvil, publicClient, rpc, rpcResponse,
  until, waitForReceipt, walletClient, webSocketClient,
} from '../lib.mjs'
import { provenValue } from '../mpt.mjs'

const BLOB_BYTES = 131_072
/** Under any other code viem ignores the node's message. */
const CODES_VIEM_READS = [-32000, -32003]

const client = publicClient()
const probe = contract('Probe')
let account, wallet, address

before(async () => {
  account = await fundedAccount()
  wallet = walletClient(account)
  address = await deploy(probe, [], account)
})

const store = (key, value) =>
  wallet.writeContract({ address, abi: probe.abi, functionName: 'store', args: [key, value], ...FEES })

/** The first error of this class in the chain of causes. */
const causedBy = (Class) => (error) => {
  assert.ok(error instanceof BaseError, String(error))
  assert.ok(error.walk((cause) => cause instanceof Class), `no ${Class.name} in: ${error.message}`)
  return true
}

describe('viem: blocks', () => {
  it('getBlock by every tag, by number and by hash', async () => {
    const [finalized, safe, latest, earliest] = await Promise.all(
      ['finalized', 'safe', 'latest', 'earliest'].map((blockTag) => client.getBlock({ blockTag })),
    )
    assert.equal(earliest.number, 0n)
    assert.ok(finalized.number <= safe.number && safe.number <= latest.number)
    assert.deepEqual(await client.getBlock({ blockHash: latest.hash }), latest)
    assert.deepEqual(await client.getBlock({ blockNumber: latest.number }), latest)
    const parent = await client.getBlock({ blockNumber: latest.number - 1n })
    assert.equal(latest.parentHash, parent.hash)
    assert.ok(latest.timestamp >= parent.timestamp)
  })

  it('the pending block follows the latest', async () => {
    const latest = await client.getBlock({ blockTag: 'latest' })
    const pending = await client.getBlock({ blockTag: 'pending' })
    assert.ok(pending.number === null || pending.number >= latest.number)
    assert.ok(pending.gasLimit > 0n)
  })

  it('a block not there yet is null', async () => {
    const [block, head] = await Promise.all([
      rpc(RPC, 'eth_getBlockByNumber', ['0xffffffffff', false]), client.getBlockNumber(),
    ])
    assert.equal(block, null)
    assert.ok(head > 0n)
  })
})

describe('viem: transactions', () => {
  it('sendTransaction with estimated fees and gas, and its receipt', async () => {
    const to = freshAccount().address
    const hash = await wallet.sendTransaction({ to, value: parseEther('0.5') })
    const receipt = await waitForReceipt(hash)
    assert.equal(receipt.status, 'success')
    assert.equal(receipt.gasUsed, 21_000n)
    assert.equal(await client.getBalance({ address: to }), parseEther('0.5'))
    const block = await client.getBlock({ blockHash: receipt.blockHash, includeTransactions: true })
    assert.equal(block.transactions[receipt.transactionIndex].hash, hash)
    assert.equal((await client.getTransaction({ hash })).blockNumber, receipt.blockNumber)
  })

  it('estimateGas, estimateFeesPerGas, getGasPrice', async () => {
    const { baseFeePerGas } = await client.getBlock()
    assert.equal(await client.estimateGas({ account, to: freshAccount().address, value: 1n }), 21_000n)
    const fees = await client.estimateFeesPerGas()
    assert.ok(fees.maxFeePerGas >= baseFeePerGas && fees.maxFeePerGas >= fees.maxPriorityFeePerGas)
    assert.ok(await client.getGasPrice() > 0n)
  })

  it('getFeeHistory agrees with the headers', async () => {
    const history = await client.getFeeHistory({ blockCount: 3, rewardPercentiles: [10, 50, 90] })
    const blocks = history.gasUsedRatio.length
    assert.ok(blocks >= 1 && blocks <= 3)
    assert.equal(history.baseFeePerGas.length, blocks + 1)
    assert.equal(history.reward.length, blocks)
    for (let i = 0; i < blocks; i++) {
      const header = await client.getBlock({ blockNumber: history.oldestBlock + BigInt(i) })
      assert.equal(history.baseFeePerGas[i], header.baseFeePerGas)
      assert.ok(Math.abs(history.gasUsedRatio[i] - Number(header.gasUsed) / Number(header.gasLimit)) < 1e-9)
      const [low, middle, high] = history.reward[i]
      assert.ok(low <= middle && middle <= high)
    }
  })

  it('a nonce gap waits in the pool, and is filled', async () => {
    const nonce = await client.getTransactionCount({ address: account.address })
    const sign = (offset) => account.signTransaction({
      type: 'eip1559', chainId: CHAIN_ID, nonce: nonce + offset, to: account.address, gas: 21_000n, ...FEES,
    })
    const [first, second] = [await sign(0), await sign(1)]

    await rpc(RPC, 'eth_sendRawTransaction', [second])
    const { error } = await rpcResponse(RPC, 'eth_sendRawTransaction', [second])
    assert.match(error.message, /already known|already imported/)
    assert.ok(CODES_VIEM_READS.includes(error.code), `code ${error.code}`)
    assert.equal((await client.getTransaction({ hash: keccak256(second) })).blockNumber, null)
    assert.equal(await rpc(RPC, 'eth_getTransactionReceipt', [keccak256(second)]), null)
    assert.equal(await client.getTransactionCount({ address: account.address, blockTag: 'pending' }), nonce)

    await rpc(RPC, 'eth_sendRawTransaction', [first])
    await waitForReceipt(keccak256(second))
    assert.equal(await client.getTransactionCount({ address: account.address, blockTag: 'pending' }), nonce + 2)
  })
})

describe('viem: WebSocket', () => {
  let socket

  before(() => { socket = webSocketClient() })
  after(async () => (await socket.transport.getRpcClient()).close())

  /** Starts a watcher, acts once, and gives what the watcher saw that satisfies `wanted`. */
  async function watched(watch, act, wanted) {
    const seen = []
    const errors = []
    const unwatch = watch((items) => seen.push(...items), (error) => errors.push(error))
    // Goes out on the same socket after the subscription.
    await socket.getChainId()
    const hash = await act()
    try {
      return await until('the watcher sees it', () => {
        if (errors.length) throw errors[0]
        return seen.find((item) => wanted(item, hash))
      })
    } finally {
      unwatch()
    }
  }

  it('watchBlocks', async () => {
    const block = await watched(
      // viem asks for each announced block by number, and passes undefined when the node does not have it.
      (onBlocks, onError) => socket.watchBlocks({
        onBlock: (block) => (block ? onBlocks([block]) : onError(new Error('announced, but not there'))),
        onError,
      }),
      () => store(1n, 1n),
      (block, hash) => block.transactions.includes(hash),
    )
    assert.equal((await client.getBlock({ blockNumber: block.number })).hash, block.hash)
  })

  it('watchContractEvent', async () => {
    const log = await watched(
      (onLogs, onError) => socket.watchContractEvent({
        address, abi: probe.abi, eventName: 'Stored', args: { key: 2n }, onLogs, onError,
      }),
      async () => { await waitForReceipt(await store(22n, 2n)); return store(2n, 2n) },
      (log, hash) => log.transactionHash === hash,
    )
    assert.deepEqual(log.args, { caller: account.address, key: 2n, value: 2n })
    assert.equal(log.removed, false)
  })

  it('watchPendingTransactions', async () => {
    await watched(
      (onTransactions, onError) => socket.watchPendingTransactions({ onTransactions, onError }),
      () => store(3n, 3n),
      (seen, hash) => seen === hash,
    )
  })
})

describe('viem: state', () => {
  let receipt

  before(async () => { receipt = await waitForReceipt(await store(7n, 77n)) })

  const slotOf = (key) => keccak256(concatHex([toHex(key, { size: 32 }), toHex(0, { size: 32 })]))

  it('readContract, getCode, getStorageAt', async () => {
    assert.equal(await client.readContract({ address, abi: probe.abi, functionName: 'values', args: [7n] }), 77n)
    assert.notEqual(await client.getCode({ address }), undefined)
    assert.equal(await client.getStorageAt({ address, slot: slotOf(7n) }), toHex(77, { size: 32 }))
  })

  it('multicall without a deployed contract', async () => {
    const values = (key) => ({ address, abi: probe.abi, functionName: 'values', args: [key] })
    const results = await client.multicall({ deployless: true, allowFailure: false, contracts: [values(7n), values(8n)] })
    assert.deepEqual(results, [77n, 0n])
  })

  it('a call with a state override', async () => {
    const stateOverride = [{ address, stateDiff: [{ slot: slotOf(9n), value: toHex(99, { size: 32 }) }] }]
    const read = { address, abi: probe.abi, functionName: 'values', args: [9n] }
    assert.equal(await client.readContract({ ...read, stateOverride }), 99n)
    assert.equal(await client.readContract(read), 0n)
  })

  it('block objects (EIP-1898) and old blocks', async () => {
    const data = encodeFunctionData({ abi: probe.abi, functionName: 'values', args: [7n] })
    const at = (block) => rpc(RPC, 'eth_call', [{ to: address, data }, block])
    assert.equal(Number(await at({ blockHash: receipt.blockHash })), 77)
    assert.equal(Number(await at({ blockHash: receipt.blockHash, requireCanonical: true })), 77)
    assert.equal(Number(await at({ blockNumber: toHex(receipt.blockNumber) })), 77)
    assert.equal(Number(await at(toHex(receipt.blockNumber - 1n))), 0)
    const unknown = await rpcResponse(RPC, 'eth_call', [{ to: address, data }, { blockHash: slotOf(0n) }])
    assert.ok(unknown.error, 'an unknown block hash must be an error')
  })

  it('getLogs by address, event, range and block hash', async () => {
    const filter = { address, event: probe.abi.find((item) => item.name === 'Stored') }
    const logs = await client.getLogs({ ...filter, args: { key: 7n }, fromBlock: 0n, toBlock: 'latest' })
    assert.deepEqual(logs.map((log) => log.transactionHash), [receipt.transactionHash])
    assert.equal(logs[0].args.value, 77n)
    assert.equal(logs[0].logIndex, receipt.logs[0].logIndex)
    assert.deepEqual(await client.getLogs({ ...filter, args: { key: 7n }, blockHash: receipt.blockHash }), logs)
    assert.deepEqual(await client.getLogs({ ...filter, args: { key: 8n }, fromBlock: 0n }), [])
  })

  it('getProof verified against the state root', async () => {
    const { number: blockNumber, stateRoot } = await client.getBlock()
    const absentSlot = slotOf(10n)
    const proof = await client.getProof({ address, storageKeys: [slotOf(7n), absentSlot], blockNumber })
    const accountRlp = toRlp([quantity(proof.nonce), quantity(proof.balance), proof.storageHash, proof.codeHash])
    assert.equal(provenValue(stateRoot, address, proof.accountProof), accountRlp)
    assert.equal(proof.codeHash, keccak256(await client.getCode({ address })))
    const [present, absent] = proof.storageProof
    assert.equal(provenValue(proof.storageHash, slotOf(7n), present.proof), toRlp(quantity(77)))
    assert.equal(present.value, 77n)
    assert.equal(provenValue(proof.storageHash, absentSlot, absent.proof), null)

    const nobody = freshAccount().address
    const absence = await client.getProof({ address: nobody, storageKeys: [], blockNumber })
    assert.equal(provenValue(stateRoot, nobody, absence.accountProof), null)
  })

  const quantity = (value) => (BigInt(value) === 0n ? '0x' : toHex(value))
})

describe('viem: errors', () => {
  const transfer = (overrides) => wallet.sendTransaction({ to: account.address, gas: 21_000n, ...FEES, ...overrides })

  it('a custom error is decoded', async () => {
    const simulation = client.simulateContract({ account, address, abi: probe.abi, functionName: 'refuse', args: [42n] })
    await assert.rejects(simulation, (error) => {
      const revert = error.walk((cause) => cause instanceof ContractFunctionRevertedError)
      assert.deepEqual([revert.data.errorName, revert.data.args], ['Refused', [42n, account.address]])
      return true
    })
  })

  it('a revert reason is decoded', async () => {
    const simulation = client.simulateContract({ account, address, abi: probe.abi, functionName: 'fail' })
    await assert.rejects(simulation, (error) => {
      assert.equal(error.walk((cause) => cause instanceof ContractFunctionRevertedError).reason, 'not today')
      return true
    })
  })

  it('estimateGas of a reverting call', async () => {
    const data = encodeFunctionData({ abi: probe.abi, functionName: 'fail' })
    await assert.rejects(client.estimateGas({ account, to: address, data }), causedBy(ExecutionRevertedError))
  })

  it('nonce too low', () => assert.rejects(transfer({ nonce: 0 }), causedBy(NonceTooLowError)))

  it('insufficient funds', () =>
    assert.rejects(transfer({ account: freshAccount(), nonce: 0 }), causedBy(InsufficientFundsError)))

  it('intrinsic gas too low', () => assert.rejects(transfer({ gas: 20_000n }), causedBy(IntrinsicGasTooLowError)))

  it('an unknown method is -32601', async () => {
    assert.equal((await rpcResponse(RPC, 'eth_noSuchMethod')).error.code, -32601)
  })

  it('wrong parameters are -32602', async () => {
    assert.equal((await rpcResponse(RPC, 'eth_getBalance', ['0x12', 'latest'])).error.code, -32602)
  })

  it('a blob transaction is refused', async (t) => {
    if (await isAnvil()) return t.skip('anvil takes blobs')
    const transaction = {
      type: 'eip4844', chainId: CHAIN_ID, nonce: 0, to: account.address, gas: 21_000n, ...FEES, maxFeePerBlobGas: 1n,
      blobVersionedHashes: [concatHex(['0x01', toHex(1, { size: 31 })])],
    }
    const blob = new Uint8Array(BLOB_BYTES)
    const sidecars = [{ blob: toHex(blob), commitment: toHex(0, { size: 48 }), proof: toHex(0, { size: 48 }) }]
    for (const form of [false, sidecars]) {
      const raw = await account.signTransaction({ ...transaction, sidecars: form })
      const { error } = await rpcResponse(RPC, 'eth_sendRawTransaction', [raw])
      assert.match(error.message, /not valid/)
      assert.ok(CODES_VIEM_READS.includes(error.code), `code ${error.code}`)
    }
  })
})
