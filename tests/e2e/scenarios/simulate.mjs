// What wallets show before they sign, and what libraries ask besides: viem's actions on the newer methods.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { encodeFunctionData, parseEther, toHex, zeroAddress } from 'viem'
import { getRawTransaction, getStorageValues } from 'viem/actions'
import {
  FEES, contract, deploy, freshAccount, fundedAccount, isAnvil, publicClient, waitForReceipt, walletClient,
} from '../lib.mjs'

const client = publicClient()
const coin = contract('Coin')
const probe = contract('Probe')
let account, wallet, token, address

before(async () => {
  account = await fundedAccount()
  wallet = walletClient(account)
  token = { address: await deploy(coin, [1000n], account), abi: coin.abi }
  address = await deploy(probe, [], account)
})

describe('simulate', () => {
  it('several calls, one on top of the other, and nothing is changed', async () => {
    const to = freshAccount().address
    const { results } = await client.simulateCalls({
      account,
      calls: [
        { to: token.address, abi: coin.abi, functionName: 'transfer', args: [to, 7n] },
        { to: token.address, abi: coin.abi, functionName: 'balanceOf', args: [to] },
        { to: address, abi: probe.abi, functionName: 'refuse', args: [42n] },
      ],
    })
    assert.deepEqual(results.map(({ status }) => status), ['success', 'success', 'failure'])
    assert.equal(results[1].result, 7n)
    assert.equal(results[2].error.cause?.data?.errorName ?? results[2].error.data?.errorName, 'Refused')
    assert.equal(results[0].logs.length, 1)
    assert.equal(await client.readContract({ ...token, functionName: 'balanceOf', args: [to] }), 0n)
  })

  it('what a transaction moves: ether and tokens', async (t) => {
    if (await isAnvil()) return t.skip('anvil simulates no creation, which viem asks for here')
    const to = freshAccount().address
    const { assetChanges } = await client.simulateCalls({
      account, traceAssetChanges: true,
      calls: [
        { to, value: parseEther('1') }, { to: token.address, abi: coin.abi, functionName: 'transfer', args: [to, 7n] },
      ],
    })
    const change = (wanted) => assetChanges.find(({ token: { address } }) => address.toLowerCase() === wanted)?.value.diff
    assert.equal(change(token.address), -7n)
    assert.ok(assetChanges.some(({ value }) => value.diff === -parseEther('1')), 'the ether is not told')
  })

  it('blocks to come, with another time and another balance', async (t) => {
    if (await isAnvil()) return t.skip("anvil gives the first of them the latest block's number")
    const { number, timestamp } = await client.getBlock()
    const someone = freshAccount().address
    const blocks = await client.simulateBlocks({
      blocks: [
        {
          stateOverrides: [{ address: someone, balance: 9n }],
          calls: [{ account: someone, to: account.address, value: 5n }],
        },
        {
          // TIMESTAMP, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN
          blockOverrides: { time: timestamp + 1000n }, stateOverrides: [{ address: someone, code: '0x425f5260205ff3' }],
          calls: [{ to: someone }],
        },
      ],
    })
    assert.deepEqual(blocks.map((block) => block.number), [number + 1n, number + 2n])
    assert.equal(blocks[0].calls[0].status, 'success')
    assert.equal(BigInt(blocks[1].calls[0].data), timestamp + 1000n)
  })

  it('createAccessList names what a call touches', async () => {
    const data = encodeFunctionData({ abi: probe.abi, functionName: 'store', args: [1n, 2n] })
    const { accessList, gasUsed } = await client.createAccessList({ account, to: address, data })
    const [own] = accessList.filter((entry) => entry.address.toLowerCase() === address)
    assert.ok(own.storageKeys.includes(toHex(1, { size: 32 })) && own.storageKeys.length === 2)
    const hash = await wallet.sendTransaction({ to: address, data, accessList, ...FEES })
    const receipt = await waitForReceipt(hash)
    assert.deepEqual([receipt.status, receipt.gasUsed], ['success', gasUsed])
  })

  it('fillTransaction completes what is left out', async () => {
    const { transaction } = await client.fillTransaction({ account, to: zeroAddress, value: 1n })
    assert.equal(transaction.nonce, await client.getTransactionCount({ address: account.address }))
    assert.ok(transaction.gas >= 21_000n && transaction.maxFeePerGas > 0n)
  })

  it('getRawTransaction, getStorageValues, a transaction by sender and nonce', async () => {
    const nonce = await client.getTransactionCount({ address: account.address })
    const request = await wallet.prepareTransactionRequest({ to: account.address, nonce })
    const serialized = await account.signTransaction(request)
    const hash = await wallet.sendRawTransaction({ serializedTransaction: serialized })
    await waitForReceipt(hash)
    assert.equal(await getRawTransaction(client, { hash }), serialized)
    assert.equal((await client.getTransaction({ sender: account.address, nonce })).hash, hash)
    const slots = [toHex(1, { size: 32 }), toHex(2, { size: 32 })]
    const values = Object.values(await getStorageValues(client, { requests: { [address]: slots } }))[0]
    assert.deepEqual(values.map(Number), [Number(await client.getStorageAt({ address, slot: slots[0] })), 0])
  })
})
