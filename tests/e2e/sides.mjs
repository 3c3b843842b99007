// The chain under test and the reference chain, side by side: the same signed bytes and questions go to both.
import assert from 'node:assert/strict'
import { encodeDeployData, encodeFunctionData, keccak256 } from 'viem'
import { CHAIN_ID, FEES, REFERENCE_RPC, RPC, freshAccount, fund, rpc, waitForReceipt } from './lib.mjs'

export const SIDES = [RPC, REFERENCE_RPC]

const RECEIPT_FIELDS = ['transactionHash', 'type', 'status', 'from', 'to', 'contractAddress', 'gasUsed', 'logsBloom']
const TRANSACTION_FIELDS = [
  'hash', 'type', 'from', 'to', 'nonce', 'value', 'input', 'gas', 'chainId', 'maxFeePerGas', 'maxPriorityFeePerGas',
  'accessList', 'authorizationList', 'r', 's', 'v', 'yParity',
]
const pick = (object, fields) => Object.fromEntries(fields.map((field) => [field, object[field]]))

async function outcome(url, hash) {
  await waitForReceipt(hash, url)
  const receipt = await rpc(url, 'eth_getTransactionReceipt', [hash])
  const transaction = await rpc(url, 'eth_getTransactionByHash', [hash])
  const { baseFeePerGas } = await rpc(url, 'eth_getBlockByHash', [receipt.blockHash, false])
  return { receipt, transaction, baseFeePerGas }
}

const comparable = ({ receipt, transaction }) => ({
  receipt: pick(receipt, RECEIPT_FIELDS),
  logs: receipt.logs.map((log) => pick(log, ['address', 'topics', 'data', 'transactionHash', 'removed'])),
  transaction: pick(transaction, TRANSACTION_FIELDS),
})

/** A sender that is new on both chains, so that its contracts get the same addresses on both. */
export async function newSender() {
  const account = freshAccount()
  for (const url of SIDES) await fund(account.address, '20', url)
  let nonce = 0

  async function send(transaction) {
    const raw = await account.signTransaction({
      type: 'eip1559', chainId: CHAIN_ID, nonce: nonce++, ...(transaction.gasPrice ? {} : FEES), ...transaction,
    })
    const [ours, reference] = await Promise.all(SIDES.map(async (url) => {
      assert.equal(await rpc(url, 'eth_sendRawTransaction', [raw]), keccak256(raw))
      return outcome(url, keccak256(raw))
    }))
    assert.deepEqual(comparable(ours), comparable(reference))
    if (ours.baseFeePerGas === reference.baseFeePerGas) {
      assert.equal(ours.receipt.effectiveGasPrice, reference.receipt.effectiveGasPrice)
    }
    return ours.receipt
  }

  return {
    account,
    send,
    async succeed(transaction) {
      const receipt = await send(transaction)
      assert.equal(receipt.status, '0x1')
      return receipt
    },
    async deploy({ abi, bytecode }, args, gas = 8_000_000n) {
      const { contractAddress } = await this.succeed({ data: encodeDeployData({ abi, bytecode, args }), gas })
      assert.notEqual(await same('eth_getCode', [contractAddress, 'latest']), '0x')
      return contractAddress
    },
    call({ abi }, to, functionName, args, options = {}) {
      return this.succeed({ to, data: encodeFunctionData({ abi, functionName, args }), gas: 4_000_000n, ...options })
    },
  }
}

/** Asks both chains, and gives their common answer. */
export async function same(method, params) {
  const [ours, reference] = await Promise.all(SIDES.map((url) => rpc(url, method, params)))
  assert.deepEqual(ours, reference, method)
  return ours
}
