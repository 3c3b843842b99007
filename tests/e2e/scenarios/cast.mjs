// What an operator types: cast, one process a command.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { encodeErrorResult, getContractAddress } from 'viem'
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts'
import { CHAIN_ID, RPC, cast, contract, freshAccount, fund, rpc } from '../lib.mjs'

const key = generatePrivateKey()
const sender = privateKeyToAddress(key)
const send = async (...args) => JSON.parse(await cast('send', '--json', '--private-key', key, ...args))
/** cast prints large numbers as "1234 [1.234e3]". */
const number = (text) => BigInt(text.split(' ')[0])

describe('cast', () => {
  let address

  before(() => fund(sender, '10'))

  it('chain-id, block-number, block --json, rpc eth_syncing', async () => {
    assert.equal(await cast('chain-id'), String(CHAIN_ID))
    const head = number(await cast('block-number'))
    const block = JSON.parse(await cast('block', String(head), '--json'))
    assert.equal(block.hash, (await rpc(RPC, 'eth_getBlockByNumber', [block.number, false])).hash)
    assert.equal(await cast('rpc', 'eth_syncing'), 'false')
  })

  it('send --create, compute-address, code', async () => {
    const expected = await cast('compute-address', sender)
    const receipt = await send('--create', contract('Probe').bytecode)
    assert.equal(receipt.status, '0x1')
    address = receipt.contractAddress
    assert.ok(expected.endsWith(getContractAddress({ from: sender, nonce: 0n })))
    assert.equal(address, getContractAddress({ from: sender, nonce: 0n }).toLowerCase())
    assert.ok((await cast('code', address)).length > 2)
  })

  it('send to a contract, receipt, call, storage, logs', async () => {
    const receipt = await send(address, 'store(uint256,uint256)', '5', '55')
    assert.equal(await cast('receipt', receipt.transactionHash, 'blockHash'), receipt.blockHash)
    assert.equal(number(await cast('call', address, 'values(uint256)(uint256)', '5')), 55n)
    assert.equal(BigInt(await cast('storage', address, '1')), 1n)
    const event = 'Stored(address indexed,uint256 indexed,uint256)'
    const logs = JSON.parse(await cast('logs', '--json', '--from-block', '0', '--address', address, event, sender, '5'))
    assert.deepEqual(logs.map((log) => log.transactionHash), [receipt.transactionHash])
  })

  it('send ether, balance, nonce', async () => {
    const to = freshAccount().address
    const { effectiveGasPrice } = await send(to, '--value', '0.1ether')
    assert.ok(BigInt(effectiveGasPrice) > 0n)
    assert.equal(await cast('balance', to), String(10n ** 17n))
    assert.equal(number(await cast('nonce', sender)), 3n)
  })

  it('send a legacy transaction', async () => {
    assert.equal((await send('--legacy', sender, '--value', '1')).type, '0x0')
  })

  it('estimate', async () => {
    assert.equal(number(await cast('estimate', freshAccount().address, '--value', '1', '--from', sender)), 21_000n)
  })

  it('call shows the data of a custom error', async () => {
    const data = encodeErrorResult({ abi: contract('Probe').abi, errorName: 'Refused', args: [42n, sender] })
    const call = cast('call', '--from', sender, address, 'refuse(uint256)', '42')
    await assert.rejects(call, ({ stderr }) => stderr.includes('execution reverted') && stderr.includes(data))
  })
})
