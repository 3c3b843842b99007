// What the tests of the bridge's contracts share: anvils, the contracts as they are compiled, refusals by name, and chance.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import {
  concat, createTestClient, decodeErrorResult, defineChain, encodeAbiParameters, encodeDeployData, getAddress, http, keccak256,
  publicActions, toEventSignature, toFunctionSignature, toHex, walletActions,
} from 'viem'
import { chainConfig, publicActionsL1, publicActionsL2, walletActionsL1, walletActionsL2 } from 'viem/op-stack'
import { compiled } from '../compile.mjs'
import { ANVIL, devAccount } from '../lib.mjs'

const ROOT = join(import.meta.dirname, '../../..')
const L1 = join(ROOT, 'bridge/src/l1')
const PREDEPLOYS = join(ROOT, 'chainspec/predeploys')
const json = (...path) => JSON.parse(readFileSync(join(...path), 'utf8'))
const onlyContracts = (facts) => Object.entries(facts).filter(([, { abi }]) => abi)

/** Contracts of the parent chain: `{ abi, bytecode }`. */
export const PARENTS = Object.fromEntries(onlyContracts(json(L1, 'contracts.json'))
  .map(([name, { abi }]) => [name, { abi, bytecode: toHex(readFileSync(join(L1, `${name}.bin`))) }]))

const facts = json(PREDEPLOYS, 'bridge.json')
/** Contracts in the chain's genesis: `{ address, abi, code }`. */
export const GENESIS = Object.fromEntries(onlyContracts(facts).filter(([, { address }]) => address)
  .map(([name, { address, abi }]) => [name, { address, abi, code: toHex(readFileSync(join(PREDEPLOYS, `${name}.bin`))) }]))

/** The ABI of the tokens that the factory creates. */
export const BRIDGED_TOKEN = facts.BridgedToken.abi

/** Contracts that are for tests only; the library of proofs is compiled as it is in the portal. */
export const testContracts = () => compiled(join(import.meta.dirname, 'contracts'), {
  imports: join(ROOT, 'bridge/contracts/src'), evmVersion: 'prague', viaIR: true,
})

export const accounts = Array.from({ length: 10 }, (_, index) => devAccount(index))

/** Most gas of a message, as the portals here are told. */
export const MAX_GAS = 20_000_000n

// ---- chance ----

const fromEnvironment = (name, otherwise) => (process.env[name] ? Number(process.env[name]) : otherwise)
export const FIRST_SEED = fromEnvironment('CAUSEWAY_SEED', 1)
export const cases = (few) => fromEnvironment('CAUSEWAY_CASES', few)

/** Numbers that only the seed tells (mulberry32). */
export function chance(seed) {
  let state = Math.imul(seed, 0x9e3779b1) >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const below = (bound) => next() % bound
  const bytes = (length) => Uint8Array.from({ length }, () => below(256))
  return { below, pick: (list) => list[below(list.length)], bytes, hex: (length) => toHex(bytes(length)) }
}

// ---- chains ----

const parent = { id: 900, name: 'parent' }
const chain = { ...chainConfig, id: 901, name: 'chain', sourceId: parent.id }
const running = new Set()

process.on('exit', () => running.forEach((anvil) => anvil.kill()))
for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) process.once(signal, () => process.exit(code))

/** An anvil on a port the system picks, and a client with all that viem has for it. */
async function start(definition) {
  const anvil = spawn(ANVIL, ['--host', '127.0.0.1', '--port', '0', '--chain-id', String(definition.id), '--hardfork', 'osaka'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.add(anvil)
  for await (const line of createInterface({ input: anvil.stdout })) {
    const [, address] = line.match(/^Listening on (\S+)$/) ?? []
    if (!address) continue
    anvil.stdout.resume()
    // A test that fails before it has this one to stop ends all the same.
    for (const held of [anvil, anvil.stdout]) held.unref()
    const nativeCurrency = { name: 'Ether', symbol: 'ETH', decimals: 18 }
    const known = defineChain({ ...definition, nativeCurrency, rpcUrls: { default: { http: [`http://${address}`] } } })
    const client = createTestClient({
      account: accounts[0], batch: { multicall: { deployless: true } }, cacheTime: 0, chain: known, mode: 'anvil', pollingInterval: 20,
      transport: http(undefined, { retryCount: 0 }),
    }).extend(publicActions).extend(walletActions)
      .extend(publicActionsL1()).extend(walletActionsL1()).extend(publicActionsL2()).extend(walletActionsL2())
    return { client, anvil }
  }
  throw new Error('anvil stopped before it was listening')
}

export const startParent = () => start(parent)

/** A chain with the bridge's contracts, whose counterparts genesis would write. */
export async function startChain() {
  const started = await start(chain)
  for (const { address, code } of Object.values(GENESIS)) await started.client.setCode({ address, bytecode: code })
  return started
}

export async function stop({ anvil }) {
  anvil.ref()
  const ended = once(anvil, 'exit')
  anvil.kill()
  await ended
  running.delete(anvil)
}

export async function deploy(client, { abi, bytecode }, args = []) {
  const hash = await client.sendTransaction({ data: encodeDeployData({ abi, bytecode, args }), gas: 10_000_000n })
  const receipt = await client.waitForTransactionReceipt({ hash })
  assert.equal(receipt.status, 'success', 'deployment failed')
  return { address: getAddress(receipt.contractAddress), abi, blockNumber: receipt.blockNumber }
}

/** Sends a call that succeeds. */
export async function send(client, { address, abi }, functionName, args = [], options = {}) {
  const hash = await client.writeContract({ address, abi, functionName, args, gas: 5_000_000n, ...options })
  const receipt = await client.waitForTransactionReceipt({ hash })
  if (receipt.status !== 'success') {
    // For the reason.
    await client.simulateContract({ address, abi, functionName, args, ...options, blockNumber: receipt.blockNumber - 1n })
  }
  assert.equal(receipt.status, 'success', `${functionName} failed`)
  return receipt
}

export const read = (client, { address, abi }, functionName, args = []) =>
  client.readContract({ address, abi, functionName, args })

/** Tries a call, by the first account unless another is named. */
export const simulate = (client, { address, abi }, functionName, args = [], options = {}) =>
  client.simulateContract({ address, abi, functionName, args, account: accounts[0], ...options })

// ---- refusals ----

const errors = [...Object.values(PARENTS), ...Object.values(facts)].flatMap(({ abi }) => abi ?? []).filter(({ type }) => type === 'error')

/** The name of a contract's error; `nothing` if it gave none. */
export function errorIn(data) {
  if (data === '0x') return 'nothing'
  try {
    return decodeErrorResult({ abi: errors, data }).errorName
  } catch {
    return data
  }
}

function errorName(error) {
  const isHex = (value) => typeof value === 'string' && value.startsWith('0x')
  const found = error.walk?.(({ data, raw }) => isHex(data) || isHex(raw))
  if (!found) return error.message
  return errorIn(isHex(found.data) ? found.data : found.raw)
}

/** A call is refused with this error of a contract, or one of such a name, and no other. */
export async function refused(promise, name, what = '') {
  const error = await promise.then(() => assert.fail(`not refused: ${what || name}`), (error) => error)
  if (error instanceof assert.AssertionError) throw error
  const [found, message] = [errorName(error), `${what} ${error.message}`]
  if (name instanceof RegExp) assert.match(found, name, message)
  else assert.equal(found, name, message)
}

// ---- what withdrawals are made of ----

const WITHDRAWAL = ['uint256', 'address', 'address', 'uint256', 'uint256', 'bytes'].map((type) => ({ type }))

/** What the message passer names a withdrawal. */
export const withdrawalHash = ({ nonce, sender, target, value, gasLimit, data }) =>
  keccak256(encodeAbiParameters(WITHDRAWAL, [nonce, sender, target, value, gasLimit, data]))

export const outputRoot = ({ version, stateRoot, messagePasserStorageRoot, latestBlockhash }) =>
  keccak256(concat([version, stateRoot, messagePasserStorageRoot, latestBlockhash]))

// ---- others' ABIs ----

const type = (parameter) => (parameter.components ? `(${parameter.components.map(type)})${parameter.type.slice(5)}` : parameter.type)
function signature(item) {
  if (item.type === 'function') return `${toFunctionSignature(item)} returns (${item.outputs.map(type)})`
  if (item.type === 'event') return `${toEventSignature(item)} indexed ${item.inputs.map(({ indexed }) => Number(indexed ?? 0))}`
  return undefined
}

/** Functions and events that `theirs` has, and `ours` has not. */
export function lacking(theirs, ours) {
  const have = new Set(ours.map(signature))
  return theirs.map(signature).filter((known) => known && !have.has(known))
}
