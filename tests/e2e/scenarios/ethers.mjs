// The same essentials with ethers v6.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { ContractFactory, JsonRpcProvider, Wallet, WebSocketProvider, isError, parseEther } from 'ethers'
import { generatePrivateKey } from 'viem/accounts'
import { CHAIN_ID, RPC, WS, contract, freshAccount, fund, isAnvil } from '../lib.mjs'

const EVENT_TIMEOUT = 10_000

const provider = new JsonRpcProvider(RPC, CHAIN_ID, { staticNetwork: true, pollingInterval: 50, cacheTimeout: -1 })
const wallet = new Wallet(generatePrivateKey(), provider)
let probe

before(async () => {
  await fund(wallet.address, '10')
  const { abi, bytecode } = contract('Probe')
  probe = await new ContractFactory(abi, bytecode, wallet).deploy()
  await probe.waitForDeployment()
})

after(() => provider.destroy())

describe('ethers: provider', () => {
  it('answers a batch in order', async () => {
    const sent = []
    const record = ({ action, payload }) => { if (action === 'sendRpcPayload') sent.push(payload) }
    provider.on('debug', record)
    const [block, balance, code, chainId] = await Promise.all([
      provider.getBlock('latest'),
      provider.getBalance(wallet.address),
      provider.getCode(await probe.getAddress()),
      provider.send('eth_chainId', []),
    ])
    provider.off('debug', record)
    assert.ok(sent.some((payload) => Array.isArray(payload) && payload.length >= 4), 'nothing was batched')
    assert.ok(block.number > 0)
    assert.ok(balance > 0n && balance < parseEther('10'))
    assert.ok(code.length > 2)
    assert.equal(Number(chainId), CHAIN_ID)
  })

  it('getNetwork asks the node', async () => {
    const asking = new JsonRpcProvider(RPC)
    assert.equal((await asking.getNetwork()).chainId, BigInt(CHAIN_ID))
    asking.destroy()
  })

  it('getFeeData', async () => {
    const { gasPrice, maxFeePerGas, maxPriorityFeePerGas } = await provider.getFeeData()
    const { baseFeePerGas } = await provider.getBlock('latest')
    assert.ok(gasPrice > 0n)
    assert.ok(maxFeePerGas >= baseFeePerGas && maxFeePerGas >= maxPriorityFeePerGas)
  })

  it('sends ether and waits for a confirmation', async () => {
    const to = freshAccount().address
    const response = await wallet.sendTransaction({ to, value: parseEther('0.25') })
    const receipt = await response.wait()
    assert.equal(receipt.status, 1)
    assert.equal(receipt.gasUsed, 21_000n)
    assert.equal(await provider.getBalance(to), parseEther('0.25'))
    const block = await provider.getBlock(receipt.blockHash, true)
    assert.equal(block.getPrefetchedTransaction(response.hash).hash, response.hash)
  })
})

describe('ethers: contract', () => {
  it('writes, reads and queries events', async () => {
    const receipt = await (await probe.store(1n, 11n)).wait()
    assert.equal(await probe.values(1n), 11n)
    const [event] = await probe.queryFilter(probe.filters.Stored(wallet.address, 1n), 0, 'latest')
    assert.equal(event.transactionHash, receipt.hash)
    assert.equal(event.args.value, 11n)
  })

  /** Resolves with the listener's arguments at the first event. */
  const firstEvent = (listening, filter) => new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error('no event')), EVENT_TIMEOUT)
    listening.once(filter, (payload) => { clearTimeout(deadline); resolve(payload) }).catch(reject)
  })

  it('a listener over HTTP (filters)', async () => {
    const event = firstEvent(probe, probe.filters.Stored(null, 2n))
    await (await probe.store(2n, 22n)).wait()
    assert.equal((await event).args.value, 22n)
  })

  it('a listener over WebSocket (subscriptions)', async () => {
    const socket = new WebSocketProvider(WS, CHAIN_ID)
    const event = firstEvent(probe.connect(socket), probe.filters.Stored(null, 3n))
    await socket.getBlockNumber()
    await (await probe.store(3n, 33n)).wait()
    assert.equal((await event).args.value, 33n)
    await socket.destroy()
  })
})

describe('ethers: errors', () => {
  /** Rejects with this ethers code; `check` sees the error. */
  const rejectsWith = (promise, code, check = () => {}) => assert.rejects(promise, (error) => {
    assert.ok(isError(error, code), `${error.code}: ${error.message}`)
    check(error)
    return true
  })
  const transfer = (sender, overrides) => sender.sendTransaction({ to: wallet.address, gasLimit: 21_000n, ...overrides })

  for (const method of ['staticCall', 'estimateGas']) {
    it(`a revert reason from ${method}`, () =>
      rejectsWith(probe.fail[method](), 'CALL_EXCEPTION', (error) => assert.equal(error.reason, 'not today')))

    it(`a custom error from ${method}`, () =>
      rejectsWith(probe.refuse[method](42n), 'CALL_EXCEPTION', ({ data, revert }) => {
        const { name, args } = revert ?? probe.interface.parseError(data)
        assert.deepEqual([name, [...args]], ['Refused', [42n, wallet.address]])
      }))
  }

  it('a mined revert', async () => {
    const response = await probe.fail({ gasLimit: 100_000n })
    await rejectsWith(response.wait(), 'CALL_EXCEPTION', (error) => assert.equal(error.receipt.status, 0))
  })

  it('a nonce used before', () => rejectsWith(transfer(wallet, { nonce: 0 }), 'NONCE_EXPIRED'))

  it('insufficient funds', () =>
    rejectsWith(transfer(new Wallet(generatePrivateKey(), provider)), 'INSUFFICIENT_FUNDS'))

  it('an unknown method', async (t) => {
    if (await isAnvil()) return t.skip('anvil says "Method not found"')
    await rejectsWith(provider.send('eth_noSuchMethod', []), 'UNSUPPORTED_OPERATION')
  })
})
