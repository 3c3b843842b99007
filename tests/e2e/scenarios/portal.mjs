// The portal on a parent chain: viem's actions for OP chains send messages through it, and tell their hashes on the chain.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { concatHex, encodeAbiParameters, keccak256, numberToHex, pad, toHex, toRlp } from 'viem'
import {
  depositTransaction, extractTransactionDepositedLogs, getL2TransactionHash, getL2TransactionHashes, opaqueDataToDepositData,
} from 'viem/op-stack'
import { FEES, REFERENCE_RPC, ZERO_ADDRESS, devAccount, publicClient, waitForReceipt, walletClient } from '../lib.mjs'

const L1 = join(import.meta.dirname, '../../../bridge/src/l1')
const { abi } = JSON.parse(readFileSync(join(L1, 'contracts.json'), 'utf8')).Portal
const MAX_GAS = 5_000_000n
const TO = '0x00000000000000000000000000000000000000aa'

const account = devAccount(8)
const wallet = walletClient(account, REFERENCE_RPC)
const number = (value) => (value === 0n ? '0x' : numberToHex(value))
const cases = [
  { name: 'a call', request: { to: TO, value: 3n, gas: 100_000n, data: '0xc0ffee' } },
  { name: 'a transfer', request: { to: TO, value: 10n ** 18n, gas: 21_000n, data: '0x' } },
  { name: 'a creation', request: { isCreation: true, gas: 100_000n, data: '0x600160005560' } },
]

/** The hash on the chain, from what was asked for and where its log lies: the rules of OP's messages, without viem's reader. */
function expectedHash({ to, isCreation = false, value = 0n, gas, data }, { blockHash, logIndex }) {
  const place = keccak256(concatHex([blockHash, pad(toHex(logIndex))]))
  const source = keccak256(concatHex([pad('0x00'), place]))
  const fields = [source, account.address, isCreation ? '0x' : to, '0x', number(value), number(gas), '0x', data]
  return keccak256(concatHex(['0x7e', toRlp(fields)]))
}

describe('portal', () => {
  let portal

  before(async () => {
    const create = async (name, types, values) => {
      const code = toHex(readFileSync(join(L1, `${name}.bin`)))
      const data = concatHex([code, encodeAbiParameters(types.map((type) => ({ type })), values)])
      const receipt = await waitForReceipt(await wallet.sendTransaction({ data, ...FEES }), REFERENCE_RPC)
      assert.equal(receipt.status, 'success', name)
      return receipt.contractAddress
    }
    const keys = [account.address]
    const config = await create('SystemConfig', ['address', 'address[]', 'address[]', 'address[]'], [keys[0], keys, keys, []])
    const oracleTypes = ['address', 'address', ...Array(6).fill('uint256')]
    const oracle = await create('OutputOracle', oracleTypes, [config, keys[0], 1n, 1n, 0n, 0n, 10n, 10n])
    portal = await create('Portal', ['uint64', 'address', 'bool'], [MAX_GAS, oracle, true])
  })

  for (const { name, request } of cases) {
    it(`viem sends ${name}, and knows its hash on the chain`, async () => {
      const hash = await depositTransaction(wallet, { portalAddress: portal, request, ...FEES })
      const receipt = await waitForReceipt(hash, REFERENCE_RPC)
      assert.equal(receipt.status, 'success')
      const [log, ...more] = extractTransactionDepositedLogs(receipt)
      assert.equal(more.length, 0)
      assert.equal(log.address.toLowerCase(), portal.toLowerCase())
      assert.equal(log.args.from, account.address)
      assert.equal(log.args.to.toLowerCase(), request.to ?? ZERO_ADDRESS)
      assert.equal(log.args.version, 0n)
      assert.deepEqual(opaqueDataToDepositData(log.args.opaqueData), {
        mint: 0n, value: request.value ?? 0n, gas: request.gas, isCreation: request.isCreation ?? false,
        data: request.data,
      })
      const expected = expectedHash(request, log)
      assert.equal(getL2TransactionHash({ log }), expected)
      assert.deepEqual(getL2TransactionHashes(receipt), [expected])
    })
  }

  it('takes coins with a message, as mint', async () => {
    const request = { to: TO, mint: 1n, gas: 100_000n, data: '0x' }
    const receipt = await waitForReceipt(await depositTransaction(wallet, { portalAddress: portal, request, ...FEES }), REFERENCE_RPC)
    const [log] = extractTransactionDepositedLogs(receipt)
    assert.equal(opaqueDataToDepositData(log.args.opaqueData).mint, 1n)
    assert.equal(await publicClient(REFERENCE_RPC).getBalance({ address: portal }), 1n)
  })

  it('says which bound a message is outside of', async () => {
    const bounds = [[21_039n, /GasLimitTooLow/, '0x01'], [MAX_GAS + 1n, /GasLimitTooHigh/, '0x01']]
    for (const [gas, error, data] of bounds) {
      const args = [TO, 0n, gas, false, data]
      const call = { address: portal, abi, functionName: 'depositTransaction', args, account }
      await assert.rejects(publicClient(REFERENCE_RPC).simulateContract(call), error)
    }
  })
})
