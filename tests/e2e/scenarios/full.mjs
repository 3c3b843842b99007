// A full node: it shows the sequencer's chain, and what is sent to it reaches the sequencer.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { BaseError, NonceTooLowError, toHex } from 'viem'
import {
  FEES, FULL_RPC, RPC, contract, fundedAccount, publicClient, rpc, until, waitForReceipt, walletClient,
} from '../lib.mjs'

const CATCH_UP_TIMEOUT = 60_000

/** Asks both nodes, and gives their common answer. */
async function same(method, params) {
  const [sequencer, full] = await Promise.all([rpc(RPC, method, params), rpc(FULL_RPC, method, params)])
  assert.deepEqual(full, sequencer, method)
  return sequencer
}

/** Waits until the full node's block of this tag is at least as high as the sequencer's is now; both must have it. */
async function catchesUp(tag) {
  const target = await rpc(RPC, 'eth_getBlockByNumber', [tag, false])
  const reached = await until(`the full node's ${tag} block reaches ${Number(target.number)}`, async () => {
    const block = await rpc(FULL_RPC, 'eth_getBlockByNumber', [tag, false])
    return Number(block.number) >= Number(target.number) ? block : undefined
  }, CATCH_UP_TIMEOUT)
  assert.deepEqual(await rpc(FULL_RPC, 'eth_getBlockByNumber', [target.number, false]), target)
  assert.deepEqual(await rpc(RPC, 'eth_getBlockByNumber', [reached.number, false]), reached)
}

describe('full', { skip: FULL_RPC ? false : 'no --full-rpc' }, () => {
  const probe = contract('Probe')
  let account, wallet, address

  before(async () => {
    account = await fundedAccount()
    wallet = walletClient(account, FULL_RPC)
    await catchesUp('latest')
  })

  it('is the same chain', () => same('eth_chainId', []))

  it('has the same genesis, latest and safe blocks', async () => {
    await same('eth_getBlockByNumber', ['0x0', true])
    await catchesUp('latest')
    await catchesUp('safe')
  })

  it('forwards transactions to the sequencer', async () => {
    const deployment = await wallet.deployContract({ abi: probe.abi, bytecode: probe.bytecode, ...FEES })
    address = (await waitForReceipt(deployment, RPC)).contractAddress
    await waitForReceipt(deployment, FULL_RPC)
    const call = await wallet.writeContract({ address, abi: probe.abi, functionName: 'store', args: [1n, 11n], ...FEES })
    assert.equal((await waitForReceipt(call, RPC)).status, 'success')
    await waitForReceipt(call, FULL_RPC)
  })

  it('gives the same receipts, transactions, logs and proofs', async () => {
    const [log] = await same('eth_getLogs', [{ address, fromBlock: '0x0', toBlock: 'latest' }])
    await same('eth_getTransactionReceipt', [log.transactionHash])
    await same('eth_getTransactionByHash', [log.transactionHash])
    await same('eth_getBlockReceipts', [log.blockNumber])
    await same('eth_getProof', [address, [toHex(1, { size: 32 })], log.blockNumber])
    const values = { address, abi: probe.abi, functionName: 'values', args: [1n] }
    assert.equal(await publicClient(FULL_RPC).readContract(values), 11n)
  })

  it("gives the sequencer's refusal", () => assert.rejects(
    wallet.sendTransaction({ to: address, nonce: 0, gas: 100_000n, ...FEES }),
    (error) => error instanceof BaseError && Boolean(error.walk((cause) => cause instanceof NonceTooLowError)),
  ))
})
