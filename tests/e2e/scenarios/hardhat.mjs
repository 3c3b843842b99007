// What a team does with hardhat: deploy by Ignition, test on the live network, verify the source.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts'
import { HARDHAT, contract, fund, publicClient } from '../lib.mjs'
import { startVerifier } from '../verifier.mjs'

const key = generatePrivateKey()
const sender = privateKeyToAddress(key)
const FOLDER = join(import.meta.dirname, '..')
const DEPLOYMENTS = join(FOLDER, 'hardhat/ignition/deployments')
const built = mkdtempSync(join(tmpdir(), 'causeway-hardhat-'))

describe('hardhat', () => {
  const deployment = `e2e-${process.pid}`
  const client = publicClient()
  let verifier, deployed

  /** Runs hardhat in this folder; its questions are answered beforehand. */
  async function hardhat(...args) {
    const [program, ...first] = HARDHAT
    const env = {
      ...process.env, E2E_KEY: key, E2E_BUILD: built, E2E_VERIFIER: verifier.url, CI: 'true',
      HARDHAT_IGNITION_CONFIRM_DEPLOYMENT: 'false', HARDHAT_DISABLE_TELEMETRY_PROMPT: 'true',
    }
    const all = [...first, '--network', 'causeway', '--build-profile', 'production', ...args]
    const { stdout } = await promisify(execFile)(program, all, { cwd: FOLDER, env })
    return stdout
  }

  before(async () => {
    await fund(sender, '10')
    verifier = await startVerifier()
  })

  after(() => {
    verifier?.close()
    for (const folder of [built, join(DEPLOYMENTS, deployment)]) rmSync(folder, { recursive: true, force: true })
  })

  it('ignition deploys a module and calls its contracts', async () => {
    const module = 'hardhat/ignition/modules/Launch.js'
    const said = await hardhat('ignition', 'deploy', module, '--deployment-id', deployment)
    assert.match(said, /successfully deployed/)
    deployed = JSON.parse(readFileSync(join(DEPLOYMENTS, deployment, 'deployed_addresses.json'), 'utf8'))
    const probe = { address: deployed['Launch#Probe'], abi: contract('Probe').abi }
    assert.equal(await client.readContract({ ...probe, functionName: 'values', args: [1n] }), 11n)
    const coin = { address: deployed['Launch#Coin'], abi: contract('Coin').abi }
    assert.equal(await client.readContract({ ...coin, functionName: 'balanceOf', args: [probe.address] }), 5n)
  })

  it('test runs against the chain', async () => {
    assert.match(await hardhat('test', 'nodejs'), /2 passing/)
  })

  it('verify compares the source with the code on the chain', async () => {
    const address = deployed['Launch#Coin']
    const [{ transactionHash }] = await client.getContractEvents({ address, abi: contract('Coin').abi, fromBlock: 0n })
    const said = await hardhat('verify', 'sourcify', '--creation-tx-hash', transactionHash, address, '1000')
    assert.match(said, /Contract verified successfully/)
    const { runtimeMatch, creationMatch } = verifier.contract(address)
    assert.deepEqual([runtimeMatch, creationMatch], ['exact_match', 'exact_match'])
  })
})
