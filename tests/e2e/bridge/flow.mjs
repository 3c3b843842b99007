// Coins and tokens to a chain and back, with viem's op-stack actions as they are: node flow.mjs DEVNET.JSON
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createPublicClient, createWalletClient, defineChain, getContract, http, numberToHex, parseAbi, parseEther } from 'viem'
import { mnemonicToAccount } from 'viem/accounts'
import { getL2TransactionHashes, publicActionsL1, publicActionsL2, walletActionsL1, walletActionsL2 } from 'viem/op-stack'
import { compile } from '../compile.mjs'

const endpoints = JSON.parse(readFileSync(process.env.E2E_DEVNET, 'utf8')).chains[0]
const { Portal, OutputOracle, CrossDomainMessenger, StandardBridge } = endpoints.contracts
const L2_BRIDGE = '0x4200000000000000000000000000000000000010'
const L2_MESSENGER = '0x4200000000000000000000000000000000000007'
const FACTORY = '0x4200000000000000000000000000000000000012'
const L1_ID = 31337
const nativeCurrency = { name: 'Ether', symbol: 'ETH', decimals: 18 }
const rpcUrls = (url) => ({ default: { http: [url] } })

const presigned = JSON.parse(readFileSync(join(import.meta.dirname, '../presigned/multicall3.json'), 'utf8'))
const MULTICALL = '0xcA11bde05977b3631167028862bE2a173976CA11'
const l1 = defineChain({
  id: L1_ID,
  name: 'parent',
  nativeCurrency,
  rpcUrls: rpcUrls(endpoints.da),
  contracts: { multicall3: { address: MULTICALL } },
})
const l2 = defineChain({
  id: endpoints.chain_id,
  name: 'chain',
  nativeCurrency,
  rpcUrls: rpcUrls(endpoints.rpc),
  sourceId: L1_ID,
  contracts: {
    portal: { [L1_ID]: { address: Portal } },
    l2OutputOracle: { [L1_ID]: { address: OutputOracle } },
    l1StandardBridge: { [L1_ID]: { address: StandardBridge } },
  },
})
// Not the first account, which pays for the devnet's contracts.
const account = mnemonicToAccount('test test test test test test test test test test test junk', { addressIndex: 3 })
const other = mnemonicToAccount('test test test test test test test test test test test junk', { addressIndex: 4 }).address
const options = (chain) => ({ account, chain, transport: http(), pollingInterval: 200 })
const onL1 = createPublicClient(options(l1)).extend(publicActionsL1())
const onL2 = createPublicClient(options(l2)).extend(publicActionsL2())
const walletL1 = createWalletClient(options(l1)).extend(walletActionsL1())
const walletL2 = createWalletClient(options(l2)).extend(walletActionsL2())

const TIMEOUT = 90_000
const BRIDGE = parseAbi([
  'function bridgeETHTo(address to, uint32 gas, bytes data) payable',
  'function depositERC20(address l1Token, address l2Token, uint256 amount, uint32 gas, bytes data)',
  'function withdraw(address l2Token, uint256 amount, uint32 gas, bytes data) payable',
  'function bridgeERC20(address localToken, address remoteToken, uint256 amount, uint32 gas, bytes data)',
])
const MESSENGER = parseAbi([
  'function sendMessage(address target, bytes message, uint32 gas) payable',
  'event RelayedMessage(bytes32 indexed msgHash)',
  'event FailedRelayedMessage(bytes32 indexed msgHash)',
])

async function done(client, hash) {
  const receipt = await client.waitForTransactionReceipt({ hash, timeout: TIMEOUT })
  assert.equal(receipt.status, 'success', `${hash} failed`)
  return receipt
}

/** The transactions on the chain of what was sent there in a transaction of the parent. */
async function arrived(hash) {
  const receipt = await done(onL1, hash)
  const hashes = getL2TransactionHashes(receipt)
  assert.ok(hashes.length > 0, 'nothing was sent')
  return Promise.all(hashes.map((hash) => done(onL2, hash)))
}

/** From a transaction of the chain to the end on the parent, as a user does it; with calls that the node made if `byNode`. */
async function leaves(receipt, byNode = false) {
  const chain = { targetChain: l2 }
  const status = () => onL1.getWithdrawalStatus({ receipt, ...chain })
  const early = await status()
  assert.ok(['waiting-to-prove', 'ready-to-prove'].includes(early), early)
  const { output, withdrawal } = await onL1.waitToProve({ receipt, ...chain, pollingInterval: 500 })
  const proof = await onL2.buildProveWithdrawal({ output, withdrawal })
  // Somebody else's amount or recipient is not what was sent.
  for (const forged of [{ value: withdrawal.value + 1n }, { target: account.address }, { nonce: withdrawal.nonce + 1n }]) {
    const wrong = { ...proof, withdrawal: { ...withdrawal, ...forged } }
    await assert.rejects(walletL1.proveWithdrawal({ ...wrong, ...chain, gas: 2_000_000n }).then((hash) => done(onL1, hash)))
  }
  const made = await onL2.request({
    method: 'rollup_getWithdrawalProof',
    params: [receipt.transactionHash, numberToHex(output.l2BlockNumber), numberToHex(output.outputIndex)],
  })
  assert.equal(made.withdrawalHash, withdrawal.withdrawalHash)
  assert.equal(made.outputRoot, output.outputRoot)
  const send = (data) => walletL1.sendTransaction({ to: Portal, data })
  await done(onL1, byNode ? await send(made.proveCalldata) : await walletL1.proveWithdrawal(proof))
  await assert.rejects(onL1.simulateContract({
    address: Portal, abi: parseAbi(['function finalizeWithdrawalTransaction((uint256,address,address,uint256,uint256,bytes))']),
    functionName: 'finalizeWithdrawalTransaction',
    args: [[withdrawal.nonce, withdrawal.sender, withdrawal.target, withdrawal.value, withdrawal.gasLimit, withdrawal.data]],
  }), /TooEarly|reverted/)
  assert.equal(await status(), 'waiting-to-finalize')
  await onL1.waitToFinalize({ withdrawalHash: withdrawal.withdrawalHash, ...chain })
  // The parent's clock ticks in blocks.
  for (let tries = 0; (await status()) !== 'ready-to-finalize'; tries++) {
    assert.ok(tries < 60, 'never ready to finalize')
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  const finalize = () => (byNode ? send(made.finalizeCalldata) : walletL1.finalizeWithdrawal({ withdrawal, ...chain }))
  const finalized = await done(onL1, await finalize())
  assert.equal(await status(), 'finalized')
  await assert.rejects(walletL1.finalizeWithdrawal({ withdrawal, ...chain }), 'it is paid once')
  return finalized
}

describe('bridge', { timeout: 600_000 }, () => {
  let artifacts
  let token

  before(async () => {
    // viem asks the parent by it when it guesses how long an output takes.
    await done(onL1, await walletL1.sendTransaction({ to: '0x05f32B3cC3888453ff71B01135B34FF8e41263F2', value: parseEther('1') }))
    await done(onL1, await onL1.sendRawTransaction({ serializedTransaction: presigned.transaction }))
    artifacts = mkdtempSync(join(tmpdir(), 'causeway-bridge-'))
    compile(artifacts)
    token = JSON.parse(readFileSync(join(artifacts, 'Token.json'), 'utf8'))
  })
  after(() => rmSync(artifacts, { recursive: true }))

  it('coins come by the portal, and are minted once', async () => {
    const [held, had] = [await onL1.getBalance({ address: Portal }), await onL2.getBalance({ address: other })]
    const request = await onL2.buildDepositTransaction({ mint: parseEther('3'), to: other })
    const [receipt] = await arrived(await walletL1.depositTransaction(request))
    assert.equal(receipt.type, '0x7e')
    assert.equal(await onL2.getBalance({ address: other }), had + parseEther('3'))
    assert.equal(await onL1.getBalance({ address: Portal }), held + parseEther('3'))
  })

  it('coins stay with their sender if the call fails', async () => {
    const had = await onL2.getBalance({ address: account.address })
    // The factory takes no coins.
    const request = { mint: parseEther('1'), value: parseEther('1'), to: FACTORY, gas: 100_000n }
    const hash = await walletL1.depositTransaction({ request, targetChain: l2 })
    const [l2Hash] = getL2TransactionHashes(await done(onL1, hash))
    const receipt = await onL2.waitForTransactionReceipt({ hash: l2Hash, timeout: TIMEOUT })
    assert.equal(receipt.status, 'reverted')
    assert.equal(await onL2.getBalance({ address: account.address }), had + parseEther('1'))
  })

  it('coins leave by the message passer', async () => {
    const request = await onL1.buildInitiateWithdrawal({ to: other, value: parseEther('2') })
    const receipt = await done(onL2, await walletL2.initiateWithdrawal(request))
    const had = await onL1.getBalance({ address: other })
    await leaves(receipt)
    assert.equal(await onL1.getBalance({ address: other }), had + parseEther('2'))
  })

  it('tokens come as others, and go back', async () => {
    const supply = parseEther('1000')
    const created = await walletL1.deployContract({ ...token, args: ['Cake', 'CAKE', supply] })
    const remote = (await done(onL1, created)).contractAddress
    const made = await walletL2.writeContract({
      address: FACTORY, abi: parseAbi(['function createOptimismMintableERC20(address, string, string) returns (address)']),
      functionName: 'createOptimismMintableERC20', args: [remote, 'Cake', 'CAKE'],
    })
    const { logs } = await done(onL2, made)
    const local = logs.map((log) => log.topics[1] && `0x${log.topics[1].slice(26)}`)
    const abi = token.abi
    const onChain = (address, client) => getContract({ address, abi, client })
    const here = (await Promise.all(logs.flatMap((log) => log.topics.slice(1)).map(async (topic) => {
      const address = `0x${topic.slice(26)}`
      const code = await onL2.getCode({ address })
      return code && address.toLowerCase() !== FACTORY ? address : undefined
    }))).find(Boolean)
    assert.ok(here, `no token in ${JSON.stringify(local)}`)
    await done(onL1, await onChain(remote, walletL1).write.approve([StandardBridge, supply]))
    const deposit = await walletL1.writeContract({
      address: StandardBridge, abi: BRIDGE, functionName: 'depositERC20',
      args: [remote, here, parseEther('10'), 200_000, '0x'],
    })
    await arrived(deposit)
    assert.equal(await onChain(here, onL2).read.balanceOf([account.address]), parseEther('10'))
    const sent = await walletL2.writeContract({
      address: L2_BRIDGE, abi: BRIDGE, functionName: 'withdraw', args: [here, parseEther('4'), 200_000, '0x'],
    })
    await leaves(await done(onL2, sent))
    assert.equal(await onChain(here, onL2).read.totalSupply(), parseEther('6'))
    assert.equal(await onChain(remote, onL1).read.balanceOf([account.address]), supply - parseEther('6'))
  })

  it('coins come and go by the bridge', async () => {
    const had = await onL2.getBalance({ address: other })
    const args = [other, 200_000, '0x']
    const value = parseEther('1')
    const sent = await walletL1.writeContract({ address: StandardBridge, abi: BRIDGE, functionName: 'bridgeETHTo', args, value })
    await arrived(sent)
    assert.equal(await onL2.getBalance({ address: other }), had + value)
    const back = await walletL2.writeContract({ address: L2_BRIDGE, abi: BRIDGE, functionName: 'bridgeETHTo', args, value })
    const before = await onL1.getBalance({ address: other })
    await leaves(await done(onL2, back), true)
    assert.equal(await onL1.getBalance({ address: other }), before + value)
  })

  it('the chain knows its parent', async () => {
    const abi = parseAbi(['function number() view returns (uint64)', 'function hash() view returns (bytes32)'])
    const read = (functionName) => onL2.readContract({ address: '0x4200000000000000000000000000000000000015', abi, functionName })
    const block = await onL1.getBlock({ blockNumber: await read('number') })
    assert.ok(block.number > 0n)
    const names = [CrossDomainMessenger, L2_MESSENGER, MESSENGER]
    assert.ok(names.every(Boolean))
  })
})
