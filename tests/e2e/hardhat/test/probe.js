import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { network } from 'hardhat'

const { viem } = await network.create()

describe('Probe', () => {
  let client, account, probe

  before(async () => {
    client = await viem.getPublicClient({ pollingInterval: 100 });
    [{ account }] = await viem.getWalletClients()
    probe = await viem.deployContract('Probe', [], { client: { public: client } })
  })

  it('stores and tells', async () => {
    await client.waitForTransactionReceipt({ hash: await probe.write.store([1n, 2n]) })
    assert.equal(await probe.read.values([1n]), 2n)
    const [{ args }] = await probe.getEvents.Stored({}, { fromBlock: 0n })
    assert.equal(args.caller.toLowerCase(), account.address.toLowerCase())
  })

  it('refuses with an error, a string and a panic', async () => {
    await assert.rejects(probe.simulate.refuse([42n]), /Refused/)
    await assert.rejects(probe.simulate.fail(), /not today/)
    await assert.rejects(probe.simulate.share([0n]), /Panic|division/i)
  })
})
