// The same signed bytes go to the chain and to anvil; then both trace them, and must tell the same.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { encodeDeployData, encodeFunctionData, parseEther, parseEventLogs, toHex } from 'viem'
import { CHAIN_ID, FEES, ZERO_ADDRESS, contract, freshAccount, packageContract, rpc, rpcResponse } from '../lib.mjs'
import { SIDES, newSender } from '../sides.mjs'

// One price on both chains, whatever their base fees are: so that balances in traces are equal, too.
const PRICE = { type: 'legacy', gasPrice: FEES.maxFeePerGas }
const encode = ({ abi }, functionName, args) => encodeFunctionData({ abi, functionName, args })

const TRACERS = {
  callTracer: { tracer: 'callTracer' },
  'callTracer with logs': { tracer: 'callTracer', tracerConfig: { withLog: true } },
  'callTracer, top call only': { tracer: 'callTracer', tracerConfig: { onlyTopCall: true } },
  prestateTracer: { tracer: 'prestateTracer' },
  'prestateTracer, difference': { tracer: 'prestateTracer', tracerConfig: { diffMode: true } },
  'prestateTracer without code and storage': {
    tracer: 'prestateTracer', tracerConfig: { diffMode: true, disableCode: true, disableStorage: true },
  },
  '4byteTracer': { tracer: '4byteTracer' },
  noopTracer: { tracer: 'noopTracer' },
  'struct logs': {},
  'struct logs, all of it': { enableMemory: true, enableReturnData: true },
  'struct logs, little of it': { disableStack: true, disableStorage: true },
}

/** What a trace says of everything but the account that fees go to, which is another on each chain. */
function comparable(trace, feeRecipient) {
  const drop = (accounts) => {
    if (!accounts) return
    delete accounts[feeRecipient]
    // Accounts that are not there: geth leaves them out (includeEmpty), anvil names them.
    for (const [address, account] of Object.entries(accounts)) {
      if (account?.balance === '0x0' && !account.code && !account.nonce) delete accounts[address]
    }
  }
  for (const accounts of [trace, trace.pre, trace.post]) drop(accounts)
  // The outermost call has the transaction's gas limit, as geth has it; anvil takes the intrinsic gas off.
  if (trace.type) delete trace.gas
  return trace
}

const feeRecipients = () =>
  Promise.all(SIDES.map(async (url) => (await rpc(url, 'eth_getBlockByNumber', ['latest', false])).miner.toLowerCase()))

async function sameTraces(hash, { except = [] } = {}) {
  const recipients = await feeRecipients()
  for (const [name, options] of Object.entries(TRACERS)) {
    if (except.includes(name)) continue
    const traces = await Promise.all(SIDES.map(async (url, side) =>
      comparable(await rpc(url, 'debug_traceTransaction', [hash, options]), recipients[side])))
    assert.deepEqual(traces[0], traces[1], `${name} of ${hash}`)
  }
  if (except.includes('trace_transaction')) return
  // Where a transaction is differs: another block on each chain.
  const [ours, theirs] = await Promise.all(SIDES.map(async (url) => {
    const traces = await rpc(url, 'trace_transaction', [hash])
    return traces.map(({ action, result, error, subtraces, traceAddress, type, transactionHash }) =>
      ({ action, result, error, subtraces, traceAddress, type, transactionHash }))
  }))
  assert.deepEqual(ours, theirs, `trace_transaction of ${hash}`)
}

describe('traces: equal to those of anvil', () => {
  const probe = contract('Probe')
  const token = contract('Token')
  const factory = contract('MortalFactory')
  const build = '@safe-global/safe-contracts/build/artifacts/contracts'
  const safe = packageContract(`${build}/Safe.sol/Safe.json`)
  const proxyFactory = packageContract(`${build}/proxies/SafeProxyFactory.sol/SafeProxyFactory.json`)
  const at = {}
  let sender

  const deploy = async (name, { abi, bytecode }, args) => {
    const receipt = await sender.succeed({ ...PRICE, data: encodeDeployData({ abi, bytecode, args }), gas: 8_000_000n })
    at[name] = receipt.contractAddress
    return receipt.transactionHash
  }
  const call = (to, data, more = {}) => sender.send({ ...PRICE, to, data, gas: 500_000n, ...more })

  before(async () => { sender = await newSender() })

  it('a transfer, to an account that is there and to one that is not', async () => {
    const to = freshAccount().address
    for (let i = 0; i < 2; i++) {
      const { transactionHash } = await sender.succeed({ ...PRICE, to, value: 5n, gas: 21_000n })
      await sameTraces(transactionHash)
    }
  })

  it('creations, one of which fails', async () => {
    await sameTraces(await deploy('probe', probe, []))
    await sameTraces(await deploy('token', token, ['Token', 'TKN', parseEther('1')]))
    const { transactionHash } = await sender.send({ ...PRICE, data: '0xfe', gas: 100_000n })
    await sameTraces(transactionHash)
  })

  it('storage that is new, changed and cleared', async () => {
    for (const value of [1n, 2n, 0n]) {
      const { transactionHash } = await call(at.probe, encode(probe, 'store', [7n, value]))
      await sameTraces(transactionHash)
    }
  })

  it('reverts with an error, with a text, and out of gas', async () => {
    for (const [functionName, args] of [['refuse', [42n]], ['fail', []]]) {
      const receipt = await call(at.probe, encode(probe, functionName, args))
      assert.equal(receipt.status, '0x0')
      await sameTraces(receipt.transactionHash)
    }
    const receipt = await call(at.probe, encode(probe, 'store', [9n, 9n]), { gas: 30_000n })
    assert.equal(receipt.status, '0x0')
    await sameTraces(receipt.transactionHash)
  })

  it('a token moves', async () => {
    const { transactionHash } = await call(at.token, encode(token, 'transfer', [freshAccount().address, 3n]))
    await sameTraces(transactionHash)
  })

  it('a contract that is made and destroyed in one transaction', async () => {
    await sameTraces(await deploy('factory', factory, []))
    const { transactionHash } =
      await call(at.factory, encode(factory, 'createAndClose', [freshAccount().address]), { value: 5n })
    await sameTraces(transactionHash)
  })

  it('a Safe: CREATE2, delegated calls, a precompile', async () => {
    await deploy('safe', safe, [])
    await deploy('proxies', proxyFactory, [])
    const owner = sender.account.address
    const setup = encode(safe, 'setup', [[owner], 1n, ZERO_ADDRESS, '0x', ZERO_ADDRESS, ZERO_ADDRESS, 0n, ZERO_ADDRESS])
    const created = await call(at.proxies, encode(proxyFactory, 'createProxyWithNonce', [at.safe, setup, 1n]))
    await sameTraces(created.transactionHash)
    const [{ args: { proxy } }] = parseEventLogs({ abi: proxyFactory.abi, logs: created.logs, eventName: 'ProxyCreation' })
    await sender.succeed({ ...PRICE, to: proxy, value: 9n, gas: 100_000n })
    const types = {
      SafeTx: [
        { name: 'to', type: 'address' }, { name: 'value', type: 'uint256' }, { name: 'data', type: 'bytes' },
        { name: 'operation', type: 'uint8' }, { name: 'safeTxGas', type: 'uint256' },
        { name: 'baseGas', type: 'uint256' }, { name: 'gasPrice', type: 'uint256' },
        { name: 'gasToken', type: 'address' }, { name: 'refundReceiver', type: 'address' }, { name: 'nonce', type: 'uint256' },
      ],
    }
    const message = {
      to: freshAccount().address, value: 4n, data: '0x', operation: 0, safeTxGas: 0n, baseGas: 0n, gasPrice: 0n,
      gasToken: ZERO_ADDRESS, refundReceiver: ZERO_ADDRESS, nonce: 0n,
    }
    const signature = await sender.account.signTypedData({
      domain: { chainId: CHAIN_ID, verifyingContract: proxy }, primaryType: 'SafeTx', types, message,
    })
    const { to, value, data, operation, safeTxGas, baseGas, gasPrice, gasToken, refundReceiver } = message
    const executed = await call(proxy, encode(safe, 'execTransaction',
      [to, value, data, operation, safeTxGas, baseGas, gasPrice, gasToken, refundReceiver, signature]))
    assert.equal(executed.status, '0x1')
    // Anvil tells of the precompile, as geth's 4byteTracer and Parity do not.
    await sameTraces(executed.transactionHash, { except: ['4byteTracer', 'trace_transaction'] })
  })

  it('a call that is in no block, on changed state', async () => {
    const request = { from: sender.account.address, to: at.probe, data: encode(probe, 'store', [5n, 6n]), gas: toHex(200_000) }
    const stateOverrides = { [at.probe]: { stateDiff: { [toHex(1, { size: 32 })]: toHex(99, { size: 32 }) } } }
    for (const options of [TRACERS.callTracer, { ...TRACERS['prestateTracer, difference'], stateOverrides }]) {
      const recipients = await feeRecipients()
      const traces = await Promise.all(SIDES.map(async (url, side) =>
        comparable(await rpc(url, 'debug_traceCall', [request, 'latest', options]), recipients[side])))
      assert.deepEqual(traces[0], traces[1])
    }
  })
})

describe('traces: blocks, and what is refused', () => {
  const [url] = SIDES
  let block

  before(async () => {
    const sender = await newSender()
    const { blockNumber } = await sender.succeed({ ...PRICE, to: freshAccount().address, value: 1n, gas: 21_000n })
    block = await rpc(url, 'eth_getBlockByNumber', [blockNumber, false])
  })

  it('a block is the list of its transactions, asked for in any way', async () => {
    const options = { tracer: 'callTracer' }
    const traces = await rpc(url, 'debug_traceBlockByNumber', [block.number, options])
    assert.deepEqual(traces.map(({ txHash }) => txHash), block.transactions)
    assert.deepEqual(await rpc(url, 'debug_traceBlockByHash', [block.hash, options]), traces)
    const raw = await rpc(url, 'debug_getRawBlock', [block.number])
    assert.deepEqual(await rpc(url, 'debug_traceBlock', [raw, options]), traces)
    for (const { txHash, result } of traces) {
      assert.deepEqual(await rpc(url, 'debug_traceTransaction', [txHash, options]), result)
    }
  })

  it('gas in traces is gas in receipts', async () => {
    const receipts = await rpc(url, 'eth_getBlockReceipts', [block.number])
    const traces = await rpc(url, 'debug_traceBlockByNumber', [block.number, { tracer: 'callTracer' }])
    assert.deepEqual(traces.map(({ result }) => result.gasUsed), receipts.map(({ gasUsed }) => gasUsed))
  })

  it('a witness has the parent state and header', async () => {
    const witness = await rpc(url, 'debug_executionWitness', [block.number])
    assert.ok(witness.state.length > 0 && witness.keys.length > 0)
    assert.equal(witness.headers.at(-1), await rpc(url, 'debug_getRawHeader', [block.parentHash]))
  })

  it('a loop is stopped, and says so', async () => {
    const loop = { data: '0x5b600056', gas: '0x2faf080' }
    const { error } = await rpcResponse(url, 'debug_traceCall', [loop, 'latest', { tracer: 'callTracer', timeout: '1ms' }])
    assert.match(error.message, /trace took longer than 0\.001s/)
  })

  it('JavaScript is refused', async () => {
    const { error } = await rpcResponse(url, 'debug_traceCall', [{}, 'latest', { tracer: '{ result: function() {} }' }])
    assert.equal(error.code, -32602)
    assert.match(error.message, /callTracer/)
  })
})

describe('traces: an explorer reads histories of accounts', () => {
  const [url] = SIDES
  let sender, hashes

  before(async () => {
    sender = await newSender()
    hashes = []
    for (let i = 0; i < 5; i++) {
      const receipt = await sender.succeed({ ...PRICE, to: freshAccount().address, value: 1n, gas: 21_000n })
      hashes.unshift(receipt.transactionHash)
    }
  })

  it('pages from the newest down, and from the oldest up', async () => {
    const me = sender.account.address
    const page = await rpc(url, 'ots_searchTransactionsBefore', [me, 0, 3])
    assert.deepEqual(page.txs.slice(0, 3).map(({ hash }) => hash), hashes.slice(0, 3))
    assert.deepEqual([page.firstPage, page.lastPage], [true, false])
    const rest = await rpc(url, 'ots_searchTransactionsBefore', [me, Number(page.txs.at(-1).blockNumber), 25])
    assert.deepEqual([rest.firstPage, rest.lastPage], [false, true])
    const all = [...page.txs, ...rest.txs].map(({ hash }) => hash)
    assert.deepEqual(all.slice(0, 5), hashes)
    // The transfer that funded it is its first.
    assert.equal(all.length, 6)
    const oldest = await rpc(url, 'ots_searchTransactionsAfter', [me, 0, 25])
    assert.deepEqual(oldest.txs.map(({ hash }) => hash), all)
  })

  it('by nonce, and by creation', async () => {
    const me = sender.account.address
    assert.equal(await rpc(url, 'ots_getTransactionBySenderAndNonce', [me, 4]), hashes[0])
    assert.equal((await rpc(url, 'eth_getTransactionBySenderAndNonce', [me, '0x3'])).hash, hashes[1])
    const { contractAddress, transactionHash } =
      await sender.succeed({ ...PRICE, data: contract('Probe').bytecode, gas: 2_000_000n })
    const creator = { hash: transactionHash, creator: me.toLowerCase() }
    assert.deepEqual(await rpc(url, 'ots_getContractCreator', [contractAddress]), creator)
  })
})
