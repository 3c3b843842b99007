// A project as hardhat's users have it, on the contracts of this folder and the chain under test.
import { join } from 'node:path'
import ignition from '@nomicfoundation/hardhat-ignition-viem'
import testRunner from '@nomicfoundation/hardhat-node-test-runner'
import verify from '@nomicfoundation/hardhat-verify'
import viem from '@nomicfoundation/hardhat-viem'
import { defineConfig } from 'hardhat/config'

const { E2E_RPC, E2E_KEY, E2E_BUILD, E2E_VERIFIER } = process.env

export default defineConfig({
  plugins: [viem, ignition, testRunner, verify],
  solidity: {
    version: '0.8.37',
    path: join(import.meta.dirname, 'node_modules/solc/soljson.js'),
    settings: { evmVersion: 'osaka', optimizer: { enabled: true, runs: 200 } },
  },
  networks: { causeway: { type: 'http', url: E2E_RPC, accounts: [E2E_KEY] } },
  paths: {
    artifacts: `${E2E_BUILD}/artifacts`, cache: `${E2E_BUILD}/cache`, ignition: 'hardhat/ignition',
    tests: { nodejs: 'hardhat/test' },
  },
  ignition: { requiredConfirmations: 1, blockPollingInterval: 100 },
  verify: { sourcify: { apiUrl: E2E_VERIFIER }, etherscan: { enabled: false }, blockscout: { enabled: false } },
})
