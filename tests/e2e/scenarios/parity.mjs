// The same signed bytes go to the chain and to anvil: receipts, code, storage and call results must be equal.
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  concatHex, decodeAbiParameters, encodeFunctionData, getContractAddress, keccak256, padHex, parseEther, parseEventLogs,
  toHex,
} from 'viem'
import { CHAIN_ID, FEES, ZERO_ADDRESS, contract, freshAccount, packageContract, rpc, rpcResponse } from '../lib.mjs'
import { SIDES, newSender, same } from '../sides.mjs'

const DEADLINE = 2n ** 40n
const DELEGATION_PREFIX = '0xef0100'

const view = ({ abi }, to, functionName, args = []) =>
  same('eth_call', [{ to, data: encodeFunctionData({ abi, functionName, args }) }, 'latest'])

/** Estimates may stop their search at different points: both must suffice and be close. */
async function estimate(transaction, gasUsed) {
  for (const url of SIDES) {
    const gas = Number(await rpc(url, 'eth_estimateGas', [transaction]))
    assert.ok(gas >= gasUsed && gas <= gasUsed * 1.3, `${url}: estimate ${gas}, used ${gasUsed}`)
  }
}

/** Compares storage slots 0..count. */
async function sameStorage(address, count) {
  for (let slot = 0; slot < count; slot++) await same('eth_getStorageAt', [address, toHex(slot), 'latest'])
}

const mappingSlot = (key, slot) => keccak256(concatHex([padHex(key, { size: 32 }), toHex(slot, { size: 32 })]))

describe('parity: ERC-20', () => {
  const token = contract('Token')
  const holder = freshAccount().address
  let sender, spender, address

  before(async () => {
    sender = await newSender()
    spender = await newSender()
  })

  it('deploys', async () => {
    address = await sender.deploy(token, ['Causeway', 'CWY', parseEther('1000')])
    assert.equal(address, getContractAddress({ from: sender.account.address, nonce: 0n }).toLowerCase())
  })

  it('transfer, approve, transferFrom', async () => {
    await sender.call(token, address, 'transfer', [holder, 7n])
    await sender.call(token, address, 'approve', [spender.account.address, 100n])
    const { logs } = await spender.call(token, address, 'transferFrom', [sender.account.address, holder, 30n])
    const [{ args }] = parseEventLogs({ abi: token.abi, logs, eventName: 'Transfer' })
    assert.deepEqual({ ...args }, { from: sender.account.address, to: holder, value: 30n })
  })

  it('balances, storage', async () => {
    assert.equal(BigInt(await view(token, address, 'balanceOf', [holder])), 37n)
    assert.equal(BigInt(await view(token, address, 'allowance', [sender.account.address, spender.account.address])), 70n)
    await view(token, address, 'name')
    assert.equal(BigInt(await same('eth_getStorageAt', [address, mappingSlot(holder, 0), 'latest'])), 37n)
  })

  it('a transfer beyond the balance fails with the same error data', async () => {
    const data = encodeFunctionData({ abi: token.abi, functionName: 'transfer', args: [holder, parseEther('9')] })
    const call = { from: spender.account.address, to: address, data }
    const [ours, reference] = await Promise.all(SIDES.map((url) => rpcResponse(url, 'eth_call', [call, 'latest'])))
    assert.equal(ours.error.code, 3)
    assert.equal(ours.error.data, reference.error.data)
    const failed = await spender.send({ to: address, data, gas: 100_000n })
    assert.equal(failed.status, '0x0')
  })

  it('estimateGas', async () => {
    const from = sender.account.address
    await same('eth_estimateGas', [{ from, to: holder, value: '0x1' }])
    const data = encodeFunctionData({ abi: token.abi, functionName: 'transfer', args: [holder, 1n] })
    const { gasUsed } = await sender.call(token, address, 'transfer', [holder, 1n])
    await estimate({ from, to: address, data }, Number(gasUsed))
  })
})

describe('parity: Uniswap v2', () => {
  const pair = packageContract('@uniswap/v2-core/build/UniswapV2Pair.json')
  const factory = packageContract('@uniswap/v2-core/build/UniswapV2Factory.json')
  const router = packageContract('@uniswap/v2-periphery/build/UniswapV2Router02.json')
  const weth = packageContract('canonical-weth/build/contracts/WETH9.json')
  const token = contract('Token')
  const deployed = {}
  let sender, me

  before(async () => {
    sender = await newSender()
    me = sender.account.address
  })

  it('the router expects the init code of this pair', () => {
    assert.ok(router.bytecode.includes(keccak256(pair.bytecode).slice(2)))
  })

  it('deploys factory, WETH9, router and two tokens', async () => {
    deployed.factory = await sender.deploy(factory, [me])
    deployed.weth = await sender.deploy(weth, [])
    deployed.router = await sender.deploy(router, [deployed.factory, deployed.weth])
    for (const name of ['A', 'B']) deployed[name] = await sender.deploy(token, [name, name, parseEther('1000')])
  })

  it('addLiquidity', async () => {
    for (const name of ['A', 'B']) await sender.call(token, deployed[name], 'approve', [deployed.router, 2n ** 255n])
    await sender.call(router, deployed.router, 'addLiquidity',
      [deployed.A, deployed.B, parseEther('100'), parseEther('50'), 0n, 0n, me, DEADLINE])
    deployed.pair = `0x${(await view(factory, deployed.factory, 'getPair', [deployed.A, deployed.B])).slice(-40)}`
    assert.equal(BigInt(await view(pair, deployed.pair, 'totalSupply')) > 0n, true)
  })

  it('addLiquidityETH', async () => {
    await sender.call(router, deployed.router, 'addLiquidityETH',
      [deployed.A, parseEther('10'), 0n, 0n, me, DEADLINE], { value: parseEther('3') })
    assert.equal(BigInt(await same('eth_getBalance', [deployed.weth, 'latest'])), parseEther('3'))
  })

  it('swapExactTokensForTokens', async () => {
    // The pair accumulates prices only when a second has passed: make it pass on both chains.
    await sleep(1100)
    await sender.call(router, deployed.router, 'swapExactTokensForTokens',
      [parseEther('1'), 0n, [deployed.A, deployed.B], me, DEADLINE])
    const bought = BigInt(await view(token, deployed.B, 'balanceOf', [me])) - parseEther('950')
    assert.equal(bought, (50n * 997n * 10n ** 18n) / (100n * 1000n + 997n))
    // Slot 8 and what follows hold the time of the last block.
    await sameStorage(deployed.pair, 8)
  })
})

describe('parity: Safe 1.4.1', () => {
  const build = '@safe-global/safe-contracts/build/artifacts/contracts'
  const safe = packageContract(`${build}/Safe.sol/Safe.json`)
  const proxyFactory = packageContract(`${build}/proxies/SafeProxyFactory.sol/SafeProxyFactory.json`)
  const recipient = freshAccount().address
  let sender, address

  before(async () => { sender = await newSender() })

  it('deploys the singleton and a 1-of-1 safe', async () => {
    const owner = sender.account.address
    const singleton = await sender.deploy(safe, [])
    const factory = await sender.deploy(proxyFactory, [])
    const setup = encodeFunctionData({
      abi: safe.abi,
      functionName: 'setup',
      args: [[owner], 1n, ZERO_ADDRESS, '0x', ZERO_ADDRESS, ZERO_ADDRESS, 0n, ZERO_ADDRESS],
    })
    const { logs } = await sender.call(proxyFactory, factory, 'createProxyWithNonce', [singleton, setup, 1n])
    const [{ args }] = parseEventLogs({ abi: proxyFactory.abi, logs, eventName: 'ProxyCreation' })
    address = args.proxy
    const [owners] = decodeAbiParameters([{ type: 'address[]' }], await view(safe, address, 'getOwners'))
    assert.deepEqual(owners, [owner])
    await sameStorage(address, 6)
  })

  it('execTransaction with an EIP-712 signature moves ether', async () => {
    await sender.succeed({ to: address, value: parseEther('1'), gas: 100_000n })
    const message = {
      to: recipient, value: parseEther('0.4'), data: '0x', operation: 0, safeTxGas: 0n, baseGas: 0n, gasPrice: 0n,
      gasToken: ZERO_ADDRESS, refundReceiver: ZERO_ADDRESS, nonce: 0n,
    }
    const signature = await sender.account.signTypedData({
      domain: { chainId: CHAIN_ID, verifyingContract: address },
      primaryType: 'SafeTx',
      types: {
        SafeTx: [
          { name: 'to', type: 'address' }, { name: 'value', type: 'uint256' }, { name: 'data', type: 'bytes' },
          { name: 'operation', type: 'uint8' }, { name: 'safeTxGas', type: 'uint256' },
          { name: 'baseGas', type: 'uint256' }, { name: 'gasPrice', type: 'uint256' },
          { name: 'gasToken', type: 'address' }, { name: 'refundReceiver', type: 'address' },
          { name: 'nonce', type: 'uint256' },
        ],
      },
      message,
    })
    const { logs } = await sender.call(safe, address, 'execTransaction', [
      message.to, message.value, message.data, message.operation, message.safeTxGas, message.baseGas, message.gasPrice,
      message.gasToken, message.refundReceiver, signature,
    ])
    assert.deepEqual(parseEventLogs({ abi: safe.abi, logs }).map((log) => log.eventName), ['ExecutionSuccess'])
    assert.equal(BigInt(await same('eth_getBalance', [recipient, 'latest'])), message.value)
  })
})

describe('parity: transaction types', () => {
  const probe = contract('Probe')
  const factory = contract('MortalFactory')
  const mortal = contract('Mortal')
  const store = (key, value) => encodeFunctionData({ abi: probe.abi, functionName: 'store', args: [key, value] })
  let sender, address

  before(async () => {
    sender = await newSender()
    address = await sender.deploy(probe, [])
  })

  it('legacy (EIP-155)', async () => {
    const receipt = await sender.succeed({
      type: 'legacy', gasPrice: FEES.maxFeePerGas, to: address, data: store(1n, 1n), gas: 100_000n,
    })
    assert.equal(receipt.type, '0x0')
  })

  it('access list (EIP-2930)', async () => {
    const storageKeys = [mappingSlot(toHex(2), 0), toHex(1, { size: 32 })]
    const receipt = await sender.succeed({
      type: 'eip2930', gasPrice: FEES.maxFeePerGas, to: address, data: store(2n, 2n), gas: 100_000n,
      accessList: [{ address, storageKeys }],
    })
    assert.equal(receipt.type, '0x1')
  })

  it('delegation (EIP-7702), a call through it, and its end', async () => {
    const authority = freshAccount()
    const authorize = async (contractAddress, nonce) =>
      [await authority.signAuthorization({ contractAddress, chainId: CHAIN_ID, nonce })]
    const call = { to: authority.address, data: store(3n, 33n), gas: 200_000n }
    // Anvil refunds an authority that does not exist as if it did: let it exist on both sides.
    await sender.succeed({ to: authority.address, value: 1n, gas: 21_000n })

    const receipt = await sender.succeed({ type: 'eip7702', authorizationList: await authorize(address, 0), ...call })
    assert.equal(receipt.type, '0x4')
    assert.equal(receipt.logs[0].address, authority.address.toLowerCase())
    assert.equal(await same('eth_getCode', [authority.address, 'latest']), concatHex([DELEGATION_PREFIX, address]))
    assert.equal(BigInt(await view(probe, authority.address, 'values', [3n])), 33n)
    await sender.succeed(call)
    assert.equal(BigInt(await same('eth_getStorageAt', [authority.address, toHex(1), 'latest'])), 2n)

    await sender.succeed({ type: 'eip7702', authorizationList: await authorize(ZERO_ADDRESS, 1), ...call })
    assert.equal(await same('eth_getCode', [authority.address, 'latest']), '0x')
    assert.equal(Number(await same('eth_getTransactionCount', [authority.address, 'latest'])), 2)
  })

  it('a reverting transaction has status 0', async () => {
    const data = encodeFunctionData({ abi: probe.abi, functionName: 'refuse', args: [42n] })
    const receipt = await sender.send({ to: address, data, gas: 100_000n })
    assert.equal(receipt.status, '0x0')
    assert.deepEqual(receipt.logs, [])
  })

  it('a transaction out of gas uses its whole limit', async () => {
    const receipt = await sender.send({ to: address, data: store(4n, 4n), gas: 30_000n })
    assert.equal(receipt.status, '0x0')
    assert.equal(Number(receipt.gasUsed), 30_000)
  })

  it('a failing creation has an address and no code', async () => {
    const receipt = await sender.send({ data: '0xfe', gas: 100_000n })
    assert.equal(receipt.status, '0x0')
    assert.equal(await same('eth_getCode', [receipt.contractAddress, 'latest']), '0x')
  })

  it('selfdestruct deletes only in the transaction of creation (EIP-6780)', async () => {
    const heir = freshAccount().address
    const old = await sender.deploy(mortal, [])
    await sender.call(mortal, old, 'close', [heir])
    assert.notEqual(await same('eth_getCode', [old, 'latest']), '0x')

    const factoryAddress = await sender.deploy(factory, [])
    const { logs } = await sender.call(factory, factoryAddress, 'createAndClose', [heir], { value: 5n })
    const [{ args }] = parseEventLogs({ abi: factory.abi, logs })
    assert.equal(await same('eth_getCode', [args.mortal, 'latest']), '0x')
    assert.equal(BigInt(await same('eth_getBalance', [heir, 'latest'])), 5n)
  })

  it('storage written by all of them', async () => {
    for (const key of [1, 2, 3, 4]) await same('eth_getStorageAt', [address, mappingSlot(toHex(key), 0), 'latest'])
    assert.equal(BigInt(await same('eth_getStorageAt', [address, '0x1', 'latest'])), 2n)
  })
})

describe('parity: Osaka rules through eth_call', () => {
  const precompile = (number, data) => same('eth_call', [{ to: toHex(number, { size: 20 }), data }, 'latest'])
  const run = (code) => same('eth_call', [{ data: code }, 'latest'])

  it('hashes, identity and modexp', async () => {
    const data = toHex('causeway')
    assert.equal(await precompile(2, data), `0x${createHash('sha256').update('causeway').digest('hex')}`)
    await precompile(3, data)
    assert.equal(await precompile(4, data), data)
    const three = concatHex([toHex(1, { size: 32 }), toHex(1, { size: 32 }), toHex(1, { size: 32 }), '0x030507'])
    assert.equal(await precompile(5, three), '0x05')
  })

  it('BLS12-381 addition (EIP-2537)', async () => {
    const infinity = padHex('0x', { size: 128 })
    assert.equal(await precompile(0x0b, concatHex([infinity, infinity])), infinity)
  })

  it('secp256r1 (EIP-7951)', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { x, y } = publicKey.export({ format: 'jwk' })
    const signature = sign('sha256', Buffer.from('causeway'), { key: privateKey, dsaEncoding: 'ieee-p1363' })
    const input = Buffer.concat([
      createHash('sha256').update('causeway').digest(), signature, Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url'),
    ])
    assert.equal(BigInt(await precompile(0x100, toHex(input))), 1n)
    assert.equal(await precompile(0x100, toHex(input.fill(0, 0, 32))), '0x')
  })

  it('CLZ (EIP-7939)', async () => {
    // PUSH1 1, CLZ, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN
    assert.equal(BigInt(await run('0x60011e5f5260205ff3')), 255n)
  })
})
