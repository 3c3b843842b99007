// What the scenarios share: where the chains are, clients, accounts, contracts.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { createPublicClient, createWalletClient, defineChain, http, parseEther, parseGwei, webSocket } from 'viem'
import { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } from 'viem/accounts'

export const MODULES = join(import.meta.dirname, 'node_modules')
const POLLING_INTERVAL = 50
const DEV_MNEMONIC = 'test test test test test test test test test test test junk'

export const ANVIL = join(MODULES, '@foundry-rs/anvil-linux-amd64/bin/anvil')
const CAST = join(MODULES, '@foundry-rs/cast-linux-amd64/bin/cast')

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

/** One JSON-RPC request as it is on the wire: `{ result }` or `{ error }`. */
export async function rpcResponse(url, method, params = []) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  })
  return response.json()
}

export async function rpc(url, method, params = []) {
  const { result, error } = await rpcResponse(url, method, params)
  if (error) throw new Error(`${method}: ${error.code} ${error.message}`)
  return result
}

export const publicClient = (url = RPC) =>
  createPublicClient({ chain, transport: http(url, { retryCount: 0 }), pollingInterval: POLLING_INTERVAL, cacheTime: 0 })

export const walletClient = (account, url = RPC) =>
  createWalletClient({ account, chain, transport: http(url, { retryCount: 0 }), pollingInterval: POLLING_INTERVAL })

export const webSocketClient = () =>
  createPublicClient({ chain, transport: webSocket(WS, { retryCount: 0, reconnect: false }), cacheTime: 0 })

/** A prefunded development account, the last of the usual ten: nodes take theirs from the front. */
const devAccount = mnemonicToAccount(DEV_MNEMONIC, { addressIndex: 9 })

/** A new account with nonce 0, unknown to any chain. */
export const freshAccount = () => privateKeyToAccount(generatePrivateKey())

export async function fund(address, ether, url = RPC) {
  const hash = await walletClient(devAccount, url).sendTransaction({ to: address, value: parseEther(ether), ...FEES })
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

/** Runs cast against the chain under test. */
export async function cast(...args) {
  const { stdout } = await promisify(execFile)(CAST, args, { env: { ...process.env, ETH_RPC_URL: RPC } })
  return stdout.trim()
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
