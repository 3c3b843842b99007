// Well-known contracts reach a new chain by transactions signed before it existed: no chain id, and 100 gwei.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import {
  concatHex, getContractAddress, getCreate2Address, keccak256, multicall3Abi, parseTransaction, recoverTransactionAddress,
} from 'viem'
import { generatePrivateKey } from 'viem/accounts'
import {
  FEES, MODULES, RPC, contract, deploy, fund, fundedAccount, publicClient, rpc, waitForReceipt, walletClient,
} from '../lib.mjs'

// Hardhat Ignition carries CreateX, and exports no path to it.
const IGNITION = join(MODULES, '@nomicfoundation/ignition-core/dist/src/internal/execution/strategy/createx-artifact.js')
const { createxArtifact, presignedTx: createxTransaction } = await import(IGNITION)

const DEPLOYMENT_PROXY = '0x4e59b44847b379578588920cA78FbF26c0B4956C'
const MULTICALL3 = {
  address: '0xcA11bde05977b3631167028862bE2a173976CA11',
  deployer: '0x05f32B3cC3888453ff71B01135B34FF8e41263F2',
  codeHash: '0xd5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891',
  transaction: JSON.parse(readFileSync(new URL('../presigned/multicall3.json', import.meta.url))).transaction,
}
const CREATEX = {
  address: '0xba5Ed099633D3B313e4D5F7bdc1305d3c28ba5Ed',
  deployer: '0xeD456e05CaAb11d66C4c797dD6c1D6f9A7F352b5',
  codeHash: '0xbd8a7ea8cfca7b4e5f5041d7d4b17bc317c5ce42cfbc42066a00cf26b43eb53f',
  transaction: createxTransaction,
}

const client = publicClient()
const codeHash = async (address) => keccak256(await rpc(RPC, 'eth_getCode', [address, 'latest']))

/** Funds the deployer and sends its transaction, unless the chain has the contract already. */
async function deployPresigned(t, { address, deployer, transaction }) {
  const { chainId, gas, gasPrice } = parseTransaction(transaction)
  assert.equal(chainId, undefined)
  assert.equal(await recoverTransactionAddress({ serializedTransaction: transaction }), deployer)
  if (await rpc(RPC, 'eth_getCode', [address, 'latest']) !== '0x') return t.skip('the chain has it already')

  await fund(deployer, '1')
  assert.ok(gas * gasPrice <= 10n ** 18n)
  assert.equal(await rpc(RPC, 'eth_sendRawTransaction', [transaction]), keccak256(transaction))
  const receipt = await waitForReceipt(keccak256(transaction))
  assert.equal(receipt.status, 'success')
  assert.equal(receipt.contractAddress, address.toLowerCase())
  const sent = await rpc(RPC, 'eth_getTransactionByHash', [keccak256(transaction)])
  assert.equal(sent.chainId ?? null, null)
  assert.ok(['0x1b', '0x1c'].includes(sent.v), `v is ${sent.v}`)
}

describe('presigned: deterministic deployment', () => {
  const probe = contract('Probe')
  let account

  before(async () => { account = await fundedAccount() })

  it('the deployment proxy is there and creates at the CREATE2 address', async () => {
    const salt = generatePrivateKey()
    const hash = await walletClient(account).sendTransaction({
      to: DEPLOYMENT_PROXY, data: concatHex([salt, probe.bytecode]), ...FEES,
    })
    assert.equal((await waitForReceipt(hash)).status, 'success')
    const address = getCreate2Address({ from: DEPLOYMENT_PROXY, salt, bytecode: probe.bytecode })
    assert.notEqual(await rpc(RPC, 'eth_getCode', [address, 'latest']), '0x')
  })

  it('Multicall3 is accepted', (t) => deployPresigned(t, MULTICALL3))

  it('Multicall3 works at its address through viem', async () => {
    assert.equal(await codeHash(MULTICALL3.address), MULTICALL3.codeHash)
    const token = contract('Token')
    const address = await deploy(token, ['Causeway', 'CWY', 1000n], account)
    const results = await client.multicall({
      multicallAddress: MULTICALL3.address,
      contracts: [
        { address, abi: token.abi, functionName: 'totalSupply' },
        { address, abi: token.abi, functionName: 'transfer', args: [account.address, 1n] },
        { address: MULTICALL3.address, abi: multicall3Abi, functionName: 'getEthBalance', args: [MULTICALL3.address] },
      ],
    })
    assert.deepEqual(results.map((r) => r.status), ['success', 'failure', 'success'])
    assert.equal(results[0].result, 1000n)
    assert.equal(results[2].result, 0n)
  })

  it('CreateX is accepted', (t) => deployPresigned(t, CREATEX))

  it('CreateX works at its address', async () => {
    assert.equal(await codeHash(CREATEX.address), CREATEX.codeHash)
    const hash = await walletClient(account).writeContract({
      address: CREATEX.address, abi: createxArtifact.abi, functionName: 'deployCreate', args: [probe.bytecode], ...FEES,
    })
    const receipt = await waitForReceipt(hash)
    assert.equal(receipt.status, 'success')
    const nonce = BigInt(await rpc(RPC, 'eth_getTransactionCount', [CREATEX.address, 'latest'])) - 1n
    const created = getContractAddress({ from: CREATEX.address, nonce })
    assert.notEqual(await rpc(RPC, 'eth_getCode', [created, 'latest']), '0x')
  })
})
