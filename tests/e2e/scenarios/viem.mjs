// What an application does with viem.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  BaseError, ContractFunctionRevertedError, ExecutionRevertedError, InsufficientFundsError, IntrinsicGasTooLowError,
  NonceTooLowError, concatHex, encodeFunctionData, keccak256, maxUint256, parseEther,
  parseSignature, toHex, toRlp,
} from 'viem'
import {
  CHAIN_ID, FEES, RPC, ZERO_ADDRESS, contract, deploy, freshAccount, fundedAccount, isAnvil, permitMessage, publicClient,
  rpc, rpcResponse, until, waitForReceipt, walletClient, webSocketClient,
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
    // To nobody, to oneself, and to where coins are burnt.
    for (const to of [freshAccount().address, account.address, ZERO_ADDRESS]) {
      assert.equal(await client.estimateGas({ account, to, value: 1n }), 21_000n)
    }
    const fees = await client.estimateFeesPerGas()
    assert.ok(fees.maxFeePerGas >= baseFeePerGas && fees.maxFeePerGas >= fees.maxPriorityFeePerGas)
    assert.ok(await client.getGasPrice() > 0n)
  })

  it('prepareTransactionRequest fills in fees, gas and nonce as the node would', async () => {
    const [request, tip, nonce] = await Promise.all([
      wallet.prepareTransactionRequest({ to: freshAccount().address, value: 1n }),
      client.estimateMaxPriorityFeePerGas(),
      client.getTransactionCount({ address: account.address }),
    ])
    assert.deepEqual([request.type, request.gas, request.nonce], ['eip1559', 21_000n, nonce])
    assert.equal(request.maxPriorityFeePerGas, tip)
    assert.ok(request.maxFeePerGas > tip)
    assert.ok(await client.getBlobBaseFee() > 0n)
  })

  it('sendTransactionSync answers with the receipt (EIP-7966)', async () => {
    const receipt = await wallet.sendTransactionSync({ to: freshAccount().address, value: 1n })
    assert.equal(receipt.status, 'success')
    assert.deepEqual(await client.getTransactionReceipt({ hash: receipt.transactionHash }), receipt)
  })

  it('deployContract with what the node estimates', async () => {
    const hash = await wallet.deployContract({ abi: probe.abi, bytecode: probe.bytecode })
    const { status, contractAddress, gasUsed } = await waitForReceipt(hash)
    assert.equal(status, 'success')
    assert.notEqual(await client.getCode({ address: contractAddress }), undefined)
    const { gas } = await client.getTransaction({ hash })
    assert.ok(gas >= gasUsed && gas < gasUsed * 13n / 10n, `estimated ${gas}, used ${gasUsed}`)
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

  it('a transaction that waits is sped up, and who waits for the first hears of it', async () => {
    const nonce = await client.getTransactionCount({ address: account.address })
    const send = (nonce, tip) => wallet.sendTransaction({
      to: account.address, gas: 21_000n, nonce, maxFeePerGas: FEES.maxFeePerGas, maxPriorityFeePerGas: tip,
    })
    const slow = await send(nonce + 1, 10n ** 9n)
    await assert.rejects(send(nonce + 1, 10n ** 9n + 1n), /replacement transaction underpriced/)
    const asked = []
    const waits = publicClient(RPC, { onFetchRequest: (_, { body }) => { asked.push(JSON.parse(body).method) } })
    const waiting = new Promise((onReplaced, reject) => {
      waits.waitForTransactionReceipt({ hash: slow, onReplaced, timeout: 10_000 }).catch(reject)
    })
    // Once viem knows the first one it looks through the blocks for what takes its place.
    await until('viem knows the first', () => asked.find((method) => method === 'eth_getBlockByNumber'))
    const fast = await wallet.sendTransaction({
      to: account.address, gas: 21_000n, nonce: nonce + 1, maxFeePerGas: FEES.maxFeePerGas * 2n,
      maxPriorityFeePerGas: 10n ** 10n,
    })
    await send(nonce, 10n ** 9n)
    const { reason, transaction, transactionReceipt } = await waiting
    assert.equal(reason, 'repriced')
    assert.deepEqual([transaction.hash, transactionReceipt.status], [fast, 'success'])
  })
})

describe('viem: typed data', () => {
  const coin = contract('Coin')
  const spender = freshAccount()
  let token

  before(async () => { token = { address: await deploy(coin, [1000n], account), abi: coin.abi } })

  it('the token tells its domain, and an allowance is signed and used', async () => {
    const { domain } = await client.getEip712Domain({ address: token.address })
    assert.deepEqual([domain.name, domain.version, domain.chainId], ['Coin', '1', CHAIN_ID])
    const nonce = await client.readContract({ ...token, functionName: 'nonces', args: [account.address] })
    const permit = permitMessage(token.address, {
      owner: account.address, spender: spender.address, value: 70n, nonce, deadline: maxUint256,
    })
    const signature = await wallet.signTypedData(permit)
    assert.ok(await client.verifyTypedData({ ...permit, address: account.address, signature }))

    const { v, r, s } = parseSignature(signature)
    const { request } = await client.simulateContract({
      ...token, account, functionName: 'permit',
      args: [account.address, spender.address, 70n, maxUint256, Number(v), r, s],
    })
    assert.equal((await waitForReceipt(await wallet.writeContract(request))).status, 'success')
    const args = [account.address, spender.address]
    assert.equal(await client.readContract({ ...token, functionName: 'allowance', args }), 70n)
  })

  it('a signed message is verified by the chain, too', async () => {
    const signature = await wallet.signMessage({ message: 'causeway' })
    assert.ok(await client.verifyMessage({ address: account.address, message: 'causeway', signature }))
    assert.ok(!await client.verifyMessage({ address: spender.address, message: 'causeway', signature }))
  })
})

describe('viem: polling', () => {
  const keyed = (key) => ({ address, abi: probe.abi, eventName: 'Stored', args: { key } })

  it('a block filter', async () => {
    const filter = await client.createBlockFilter()
    const { blockHash } = await waitForReceipt(await store(20n, 1n))
    assert.ok((await client.getFilterChanges({ filter })).includes(blockHash))
    assert.ok(!(await client.getFilterChanges({ filter })).includes(blockHash), 'the same block twice')
    assert.equal(await client.uninstallFilter({ filter }), true)
  })

  it('a filter of events, its history and its end', async () => {
    const first = await waitForReceipt(await store(21n, 1n))
    const filter = await client.createContractEventFilter({ ...keyed(21n), fromBlock: first.blockNumber })
    const other = await store(22n, 1n)
    const second = await store(21n, 2n)
    await Promise.all([other, second].map((hash) => waitForReceipt(hash)))
    const seen = await client.getFilterChanges({ filter })
    assert.ok(seen.some((log) => log.transactionHash === second && log.args.value === 2n))
    assert.ok(seen.every((log) => log.args.key === 21n))
    assert.deepEqual(await client.getFilterChanges({ filter }), [])
    const all = await client.getFilterLogs({ filter })
    assert.deepEqual(all.map((log) => log.transactionHash), [first.transactionHash, second])

    assert.equal(await client.uninstallFilter({ filter }), true)
    assert.equal(await client.uninstallFilter({ filter }), false)
    await assert.rejects(client.getFilterChanges({ filter }), /filter not found/)
  })

  it('a filter of pending transactions', async () => {
    const filter = await client.createPendingTransactionFilter()
    const hash = await store(23n, 1n)
    assert.deepEqual(await client.getFilterChanges({ filter }), [hash])
    await client.uninstallFilter({ filter })
  })

  it('watchContractEvent over HTTP', async () => {
    const seen = []
    const errors = []
    const unwatch = client.watchContractEvent({
      ...keyed(24n), onLogs: (logs) => seen.push(...logs), onError: (error) => errors.push(error),
    })
    try {
      // It makes its filter in the background; what is stored before that is not told.
      const log = await until('an event is told', async () => {
        assert.deepEqual(errors, [])
        if (!seen.length) await waitForReceipt(await store(24n, 5n))
        return seen[0]
      })
      assert.deepEqual(log.args, { caller: account.address, key: 24n, value: 5n })
    } finally {
      unwatch()
    }
  })
})

describe('viem: batch transport', () => {
  it('what is asked at once goes out as one request, and errors stay apart', async () => {
    const bodies = []
    const batching = publicClient(RPC, {
      batch: true, onFetchRequest: (_, { body }) => { bodies.push(JSON.parse(body)) },
    })
    const [block, nonce, code, failed, values] = await Promise.all([
      batching.getBlock(),
      batching.getTransactionCount({ address: account.address }),
      batching.getCode({ address }),
      batching.simulateContract({ account, address, abi: probe.abi, functionName: 'fail' }).catch((error) => error),
      batching.readContract({ address, abi: probe.abi, functionName: 'values', args: [123n] }),
    ])
    assert.deepEqual(bodies.map((body) => body.length), [5])
    assert.ok(block.number > 0n && nonce > 0 && code.length > 2)
    assert.equal(values, 0n)
    assert.equal(failed.walk((cause) => cause instanceof ContractFunctionRevertedError).reason, 'not today')
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

  it('simulateContract tells the result, and changes nothing', async () => {
    const writes = () => client.readContract({ address, abi: probe.abi, functionName: 'writes' })
    const before = await writes()
    const { result, request } = await client.simulateContract({
      account, address, abi: probe.abi, functionName: 'share', args: [4n],
    })
    assert.equal(result, 25n)
    assert.equal(await writes(), before)
    assert.equal((await waitForReceipt(await wallet.writeContract(request))).status, 'success')
    assert.equal(await writes(), before + 1n)
  })

  it('a call in another block and with another balance', async () => {
    // NUMBER, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN; then SELFBALANCE in place of NUMBER.
    const number = await client.call({ data: '0x435f5260205ff3', blockOverrides: { number: 123_456n } })
    assert.equal(BigInt(number.data), 123_456n)
    const stateOverride = [{ address, code: '0x475f5260205ff3', balance: 7n }]
    assert.equal(BigInt((await client.call({ to: address, stateOverride })).data), 7n)
  })

  it('balances, nonces, code and storage of the past', async () => {
    const someone = freshAccount()
    const first = await waitForReceipt(await wallet.sendTransaction({ to: someone.address, value: 5n }))
    const second = await waitForReceipt(await wallet.sendTransaction({ to: someone.address, value: 6n }))
    assert.ok(second.blockNumber > first.blockNumber)
    const balanceAt = (blockNumber) => client.getBalance({ address: someone.address, blockNumber })
    assert.equal(await balanceAt(first.blockNumber - 1n), 0n)
    assert.equal(await balanceAt(first.blockNumber), 5n)
    assert.equal(await balanceAt(second.blockNumber), 11n)
    const nonceAt = (blockNumber) => client.getTransactionCount({ address: account.address, blockNumber })
    assert.equal(await nonceAt(second.blockNumber), await nonceAt(first.blockNumber) + 1)
    assert.equal(await client.getCode({ address, blockNumber: 0n }), undefined)
    const slot = slotOf(7n)
    const at = (blockNumber) => client.getStorageAt({ address, slot, blockNumber })
    assert.deepEqual([await at(receipt.blockNumber - 1n), await at(receipt.blockNumber)].map(Number), [0, 77])
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

  it('a panic is decoded', async () => {
    const simulation = client.simulateContract({ account, address, abi: probe.abi, functionName: 'share', args: [0n] })
    await assert.rejects(simulation, (error) => {
      const { data, reason } = error.walk((cause) => cause instanceof ContractFunctionRevertedError)
      assert.deepEqual([data.errorName, data.args], ['Panic', [0x12n]])
      assert.match(reason, /[Dd]ivision or modulo by zero/)
      return true
    })
    const call = { to: address, data: encodeFunctionData({ abi: probe.abi, functionName: 'share', args: [0n] }) }
    const { error } = await rpcResponse(RPC, 'eth_call', [call, 'latest'])
    assert.equal(error.code, 3)
    assert.match(error.message, /^execution reverted: .*division or modulo by zero/)
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
