// What a team launches with: a forge script that broadcasts, and tests on a fork of the chain.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts'
import { CHAIN_ID, RPC, contract, forge, freshAccount, fund, publicClient } from '../lib.mjs'

const client = publicClient()
const key = generatePrivateKey()
const sender = privateKeyToAddress(key)
const built = mkdtempSync(join(tmpdir(), 'causeway-forge-'))
const environment = {
  FOUNDRY_OUT: join(built, 'out'),
  FOUNDRY_CACHE_PATH: join(built, 'cache'),
  FOUNDRY_BROADCAST: join(built, 'broadcast'),
}

describe('forge', () => {
  const probe = contract('Probe')
  const holder = freshAccount().address
  let address

  before(() => fund(sender, '10'))
  after(() => rmSync(built, { recursive: true }))

  it('script --broadcast deploys, creates by CREATE2, calls and pays', async () => {
    const said = await forge(environment, 'script', 'forge/Launch.s.sol:Launch', '--sig', 'run(bytes32,address)',
      generatePrivateKey(), holder, '--rpc-url', RPC, '--private-key', key, '--broadcast')
    assert.match(said, /ONCHAIN EXECUTION COMPLETE & SUCCESSFUL/)

    const record = join(built, 'broadcast/Launch.s.sol', String(CHAIN_ID), 'run-latest.json')
    const { transactions, receipts } = JSON.parse(readFileSync(record, 'utf8'))
    assert.deepEqual(transactions.map(({ transactionType }) => transactionType), ['CREATE', 'CREATE2', 'CALL', 'CALL'])
    assert.deepEqual(receipts.map(({ status }) => status), ['0x1', '0x1', '0x1', '0x1'])
    address = transactions[0].contractAddress
    assert.equal(await client.readContract({ address, abi: probe.abi, functionName: 'values', args: [1n] }), 11n)
    const coin = { address: transactions[1].contractAddress, abi: contract('Coin').abi }
    assert.equal(await client.readContract({ ...coin, functionName: 'totalSupply' }), 1000n)
    assert.equal(await client.getBalance({ address: holder }), 5n)
    for (const { transactionHash, gasUsed } of receipts) {
      assert.equal((await client.getTransactionReceipt({ hash: transactionHash })).gasUsed, BigInt(gasUsed))
    }
  })

  it('test --fork-url reads the chain as it is now, and as it was', async () => {
    const said = await forge({ ...environment, PROBE: address }, 'test', '--fork-url', RPC, '--match-contract', 'Fork')
    assert.match(said, /2 tests passed, 0 failed/)
  })
})
