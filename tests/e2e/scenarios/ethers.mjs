// The same essentials with ethers v6.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  Contract, ContractFactory, JsonRpcProvider, MaxUint256, Signature, Wallet, WebSocketProvider, isError, keccak256,
  parseEther, toBeHex, verifyTypedData,
} from 'ethers'
import { multicall3Abi, toRlp } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import {
  CHAIN_ID, RPC, WS, contract, deployMulticall3, freshAccount, fund, isAnvil, permitMessage, until,
} from '../lib.mjs'
import { provenValue } from '../mpt.mjs'

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

/** Resolves with the listener's first argument at the first event. */
const firstEvent = (listening, event) => new Promise((resolve, reject) => {
  const deadline = setTimeout(() => reject(new Error('no event')), EVENT_TIMEOUT)
  listening.once(event, (payload) => { clearTimeout(deadline); resolve(payload) }).catch(reject)
})

/** Ends its subscriptions before it, since ethers lets nobody catch their failures. */
async function finish(watching) {
  await watching.removeAllListeners()
  for (const _ of [1, 2]) await watching.send('eth_chainId', [])
  await watching.destroy()
}

describe('ethers: contract', () => {
  it('writes, reads and queries events', async () => {
    const receipt = await (await probe.store(1n, 11n)).wait()
    assert.equal(await probe.values(1n), 11n)
    const [event] = await probe.queryFilter(probe.filters.Stored(wallet.address, 1n), 0, 'latest')
    assert.equal(event.transactionHash, receipt.hash)
    assert.equal(event.args.value, 11n)
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
    await finish(socket)
  })

  it('estimates suffice, and populateTransaction fills in the rest', async () => {
    const gas = await probe.store.estimateGas(4n, 44n)
    const request = await wallet.populateTransaction(await probe.store.populateTransaction(4n, 44n))
    assert.deepEqual([request.type, request.chainId, request.gasLimit], [2, BigInt(CHAIN_ID), gas])
    const receipt = await (await wallet.sendTransaction(request)).wait()
    assert.ok(receipt.gasUsed <= gas && gas < receipt.gasUsed * 13n / 10n, `estimated ${gas}, used ${receipt.gasUsed}`)
  })

  it('reads of the past', async () => {
    const [first, second] = [await (await probe.store(5n, 1n)).wait(), await (await probe.store(5n, 2n)).wait()]
    const at = (blockTag) => probe.values(5n, { blockTag })
    assert.deepEqual([await at(first.blockNumber), await at(second.blockNumber)], [1n, 2n])
    assert.equal(await at(first.blockHash), 1n)
    assert.equal(await at(first.blockNumber - 1), 0n)
    assert.equal(await provider.getCode(await probe.getAddress(), 0), '0x')
    const [before, after] = await Promise.all(
      [first, second].map(({ blockNumber }) => provider.getTransactionCount(wallet.address, blockNumber)),
    )
    assert.equal(after, before + 1)
  })

  it('many calls in one through Multicall3', async () => {
    const multicall = new Contract(await deployMulticall3(privateKeyToAccount(wallet.privateKey)), multicall3Abi, wallet)
    const target = await probe.getAddress()
    const call = (name, args, allowFailure) =>
      ({ target, allowFailure, callData: probe.interface.encodeFunctionData(name, args) })
    const results = await multicall.aggregate3.staticCall([
      call('values', [5n], false), call('fail', [], true), call('share', [4n], false),
    ])
    assert.deepEqual(results.map(({ success }) => success), [true, false, true])
    assert.equal(probe.interface.decodeFunctionResult('values', results[0].returnData)[0], 2n)
    assert.equal(probe.interface.parseError(results[1].returnData).args[0], 'not today')
  })

  it('eth_getProof verified against the state root', async () => {
    const address = await probe.getAddress()
    const slot = keccak256(`${toBeHex(5, 32)}${toBeHex(0, 32).slice(2)}`)
    const { stateRoot, number } = await provider.send('eth_getBlockByNumber', ['latest', false])
    const proof = await provider.send('eth_getProof', [address, [slot], number])
    const fields = [proof.nonce, proof.balance].map((quantity) => (BigInt(quantity) === 0n ? '0x' : toBeHex(quantity)))
    assert.equal(provenValue(stateRoot, address, proof.accountProof), toRlp([...fields, proof.storageHash, proof.codeHash]))
    assert.equal(provenValue(proof.storageHash, slot, proof.storageProof[0].proof), toRlp(toBeHex(2)))
  })
})

describe('ethers: typed data', () => {
  it('an allowance is signed by the owner and sent by the spender', async () => {
    const { abi, bytecode } = contract('Coin')
    const coin = await new ContractFactory(abi, bytecode, wallet).deploy(1000n)
    await coin.waitForDeployment()
    const spender = new Wallet(generatePrivateKey(), provider)
    await fund(spender.address, '1')
    const message = {
      owner: wallet.address, spender: spender.address, value: 70n, nonce: await coin.nonces(wallet.address),
      deadline: MaxUint256,
    }
    const { domain, types } = permitMessage(await coin.getAddress(), message)
    const signature = await wallet.signTypedData(domain, types, message)
    assert.equal(verifyTypedData(domain, types, message, signature), wallet.address)
    const { v, r, s } = Signature.from(signature)
    const spent = coin.connect(spender)
    await (await spent.permit(wallet.address, spender.address, 70n, MaxUint256, v, r, s)).wait()
    await (await spent.transferFrom(wallet.address, spender.address, 30n)).wait()
    assert.deepEqual(
      [await coin.allowance(wallet.address, spender.address), await coin.balanceOf(spender.address)], [40n, 30n],
    )
    await rejectsWith(
      spent.permit.staticCall(wallet.address, spender.address, 70n, MaxUint256, v, r, s), 'CALL_EXCEPTION',
      (error) => assert.equal(error.revert.name, 'ERC2612InvalidSigner'),
    )
  })
})

describe('ethers: what it watches', () => {
  for (const [name, connect] of [
    ['WebSocket', () => new WebSocketProvider(WS, CHAIN_ID)],
    ['HTTP', () => new JsonRpcProvider(RPC, CHAIN_ID, { staticNetwork: true, pollingInterval: 50, cacheTimeout: -1 })],
  ]) {
    it(`blocks and pending transactions over ${name}`, async () => {
      const watching = connect()
      try {
        const [pending, blocks] = [[], []]
        await watching.on('pending', (hash) => pending.push(hash))
        await watching.on('block', (number) => blocks.push(number))
        // Filters and subscriptions go out in the background: what was sent before is not told.
        const receipts = new Map()
        const [hash, number] = await until('a transaction and its block are told', async () => {
          const receipt = await (await wallet.sendTransaction({ to: wallet.address, value: 1n })).wait()
          receipts.set(receipt.hash, receipt.blockNumber)
          const hash = pending.find((hash) => blocks.includes(receipts.get(hash)))
          return hash && [hash, receipts.get(hash)]
        })
        assert.equal((await watching.getTransaction(hash)).blockNumber, number)
        assert.ok((await watching.getBlock(number)).transactions.includes(hash))
        assert.deepEqual(blocks, [...new Set(blocks)].sort((a, b) => a - b), 'blocks twice or out of order')
      } finally {
        await finish(watching)
      }
    })
  }
})

/** Rejects with this ethers code; `check` sees the error. */
function rejectsWith(promise, code, check = () => {}) {
  return assert.rejects(promise, (error) => {
    assert.ok(isError(error, code), `${error.code}: ${error.message}`)
    check(error)
    return true
  })
}

describe('ethers: errors', () => {
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

  it('a panic from staticCall', () =>
    rejectsWith(probe.share.staticCall(0n), 'CALL_EXCEPTION', ({ data, reason, revert }) => {
      assert.deepEqual([revert.name, revert.args.map(Number)], ['Panic', [0x12]])
      assert.match(reason, /Panic/)
      assert.ok(data.startsWith('0x4e487b71'))
    }))

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
