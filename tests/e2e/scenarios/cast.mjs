// What an operator types: cast, one process a command.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import {
  concatHex, encodeErrorResult, getContractAddress, keccak256, maxUint256, parseSignature, toHex, toRlp,
} from 'viem'
import { generatePrivateKey, privateKeyToAccount, privateKeyToAddress } from 'viem/accounts'
import {
  CHAIN_ID, RPC, WS, cast, contract, deployMulticall3, freshAccount, fund, permitMessage, rpc, spawnCast,
  until,
} from '../lib.mjs'
import { provenValue } from '../mpt.mjs'

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

  it('gas-price, base-fee, tx, client, codehash, find-block', async () => {
    const head = JSON.parse(await cast('block', '--json'))
    assert.ok(number(await cast('gas-price')) >= number(await cast('base-fee', '0')) && BigInt(head.baseFeePerGas) > 0n)
    const { transactionHash, blockNumber } = await send(sender, '--value', '1')
    const transaction = JSON.parse(await cast('tx', transactionHash, '--json'))
    const { from, type } = transaction
    assert.deepEqual([from, transaction.blockNumber, type], [sender.toLowerCase(), blockNumber, '0x2'])
    assert.match(await cast('client'), /^causeway\/|^anvil\//)
    assert.equal(await cast('codehash', address), keccak256(await cast('code', address)))
    const found = Number(await cast('find-block', String(Number(head.timestamp))))
    assert.ok(found <= Number(head.number) && found > 0)
  })

  it('balance, nonce and call at a block of the past', async () => {
    const { blockNumber } = await send(address, 'store(uint256,uint256)', '6', '66')
    const at = (block) => cast('call', '--block', String(block), address, 'values(uint256)(uint256)', '6')
    assert.deepEqual([await at(Number(blockNumber) - 1), await at(Number(blockNumber))], ['0', '66'])
    const nonceAt = async (block) => Number(await cast('nonce', '--block', String(block), sender))
    assert.equal(await nonceAt(Number(blockNumber)), await nonceAt(Number(blockNumber) - 1) + 1)
    assert.equal(await cast('balance', '--block', '0', sender), '0')
  })

  it('mktx offline, publish, receipt', async () => {
    const nonce = await cast('nonce', sender)
    const raw = await cast(
      'mktx', '--private-key', key, '--nonce', nonce, '--gas-limit', '21000', '--gas-price', '500gwei',
      '--priority-gas-price', '1gwei', '--chain', String(CHAIN_ID), sender,
    )
    const receipt = JSON.parse(await cast('publish', raw))
    assert.deepEqual([receipt.status, receipt.transactionHash], ['0x1', keccak256(raw)])
    await assert.rejects(cast('publish', '--async', raw), ({ stderr }) => /nonce too low|already known/.test(stderr))
  })

  it('wallet sign --data, and the permit is taken', async () => {
    const coin = contract('Coin')
    const { contractAddress } = await send('--create', concatHex([coin.bytecode, toHex(1000n, { size: 32 })]))
    const spender = freshAccount().address
    const message = { owner: sender, spender, value: '70', nonce: '0', deadline: String(maxUint256) }
    const { types, ...permit } = permitMessage(contractAddress, message)
    const EIP712Domain = [
      { name: 'name', type: 'string' }, { name: 'version', type: 'string' }, { name: 'chainId', type: 'uint256' },
      { name: 'verifyingContract', type: 'address' },
    ]
    const data = JSON.stringify({ ...permit, types: { EIP712Domain, ...types } })
    const signature = await cast('wallet', 'sign', '--private-key', key, '--data', data)
    const { v, r, s } = parseSignature(signature)
    await send(
      contractAddress, 'permit(address,address,uint256,uint256,uint8,bytes32,bytes32)', sender, spender, message.value,
      message.deadline, String(v), r, s,
    )
    const allowance = await cast('call', contractAddress, 'allowance(address,address)(uint256)', sender, spender)
    assert.equal(number(allowance), 70n)
  })

  it('proof verified against the state root', async () => {
    const { number: at, stateRoot } = JSON.parse(await cast('block', '--json'))
    const proof = JSON.parse(await cast('proof', '--block', String(Number(at)), address, toHex(1, { size: 32 })))
    assert.ok(provenValue(stateRoot, address, proof.accountProof))
    const [{ value, proof: nodes }] = proof.storageProof
    assert.equal(provenValue(proof.storageHash, toHex(1, { size: 32 }), nodes), toRlp(toHex(BigInt(value))))
  })

  it('many calls in one through Multicall3', async () => {
    const multicall = await deployMulticall3(privateKeyToAccount(key))
    const data = await cast('calldata', 'values(uint256)', '5')
    const answer = await cast(
      'call', multicall, 'tryAggregate(bool,(address,bytes)[])((bool,bytes)[])', 'false',
      `[(${address},${data}),(${address},${await cast('sig', 'fail()')})]`,
    )
    assert.match(answer, /^\[\(true, 0x0*37\), \(false, 0x08c379a0/)
  })

  it('WebSocket: a question, and logs as they come', async () => {
    const block = await cast('block-number', '--rpc-url', WS)
    assert.ok(number(block) > 0n)
    const event = 'Stored(address,uint256,uint256)'
    const watching = spawnCast('logs', '--subscribe', '--rpc-url', WS, '--address', address, event)
    try {
      const told = await until('a log is told', async () => {
        await send(address, 'store(uint256,uint256)', '8', '88')
        return watching.said().match(/transactionHash: (0x\w+)/)?.[1]
      })
      assert.equal((await rpc(RPC, 'eth_getTransactionReceipt', [told])).logs[0].address, address)
    } finally {
      watching.stop()
    }
  })

  it('call shows why: a string, a panic', async () => {
    const why = (...args) => cast('call', address, ...args).then(() => 'nothing', ({ stderr }) => stderr)
    assert.match(await why('fail()'), /execution reverted: not today/)
    assert.match(await why('share(uint256)', '0'), /execution reverted: .*division or modulo by zero/)
  })

  it('call shows the data of a custom error', async () => {
    const data = encodeErrorResult({ abi: contract('Probe').abi, errorName: 'Refused', args: [42n, sender] })
    const call = cast('call', '--from', sender, address, 'refuse(uint256)', '42')
    await assert.rejects(call, ({ stderr }) => stderr.includes('execution reverted') && stderr.includes(data))
  })
})
