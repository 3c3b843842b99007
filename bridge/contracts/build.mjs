// Compiles the contracts with the pinned compiler: the same bytes on every machine. Writes
// chainspec/predeploys and bridge/src/l1; with --check it only says whether what lies there is what
// comes out.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, posix, relative } from 'node:path'
import sha3 from 'js-sha3'
import solc from 'solc'

const HERE = import.meta.dirname
const ROOT = join(HERE, '../..')
const PREDEPLOYS = join(ROOT, 'chainspec/predeploys')
const L1 = join(ROOT, 'bridge/src/l1')
const SETTINGS = {
  evmVersion: 'prague',
  optimizer: { enabled: true, runs: 200 },
  viaIR: true,
  metadata: { bytecodeHash: 'none' },
}

const LIMITS = { code: 24_576, init: 49_152 }

/** The bridge's contracts in the chain's genesis, and where they lie. */
const BRIDGE = {
  L2CrossDomainMessenger: '0x4200000000000000000000000000000000000007',
  GasPriceOracle: '0x420000000000000000000000000000000000000F',
  L2StandardBridge: '0x4200000000000000000000000000000000000010',
  BridgedTokenFactory: '0x4200000000000000000000000000000000000012',
  L1Block: '0x4200000000000000000000000000000000000015',
  L2ToL1MessagePasser: '0x4200000000000000000000000000000000000016',
}

const PARENT = ['Portal', 'SystemConfig', 'OutputOracle', 'CrossDomainMessenger', 'StandardBridge']

/** A file of src and all that it imports, by the names that the compiler knows them by. */
function sources(file, found = {}) {
  if (found[file]) return found
  const content = readFileSync(join(HERE, file), 'utf8')
  found[file] = { content }
  for (const [, path] of content.matchAll(/^import .* from "(.+)";$/gm)) {
    sources(posix.join(posix.dirname(file), path), found)
  }
  return found
}

/** What a contract compiles to with what it imports alone: other files might change its bytes. */
function compile(path) {
  const outputs = ['abi', 'evm.bytecode.object', 'evm.deployedBytecode', 'storageLayout']
  const settings = { ...SETTINGS, outputSelection: { '*': { '*': outputs } } }
  const input = { language: 'Solidity', sources: sources(`src/${path}.sol`), settings }
  const output = JSON.parse(solc.compile(JSON.stringify(input)))
  const messages = (output.errors ?? []).map((error) => error.formattedMessage)
  if (messages.length) throw new Error(messages.join('\n'))
  return (name) => output.contracts[`src/${name}.sol`][name.split('/').pop()]
}

function bounded(what, code, most) {
  if (code.length > most) throw new Error(`${what}: ${code.length} bytes of code, most ${most}`)
  return code
}

const bytes = (hex) => Buffer.from(hex, 'hex')
const hash = (code) => `0x${sha3.keccak256(code)}`
const text = (facts) => Buffer.from(`${JSON.stringify({ compiler: solc.version(), settings: SETTINGS, ...facts }, null, 2)}\n`)

/** Code of a contract as it lies in genesis. No constructor ran: nothing can be filled in by one. */
function runtime(contract, name) {
  const { object, immutableReferences } = contract.evm.deployedBytecode
  if (Object.keys(immutableReferences ?? {}).length) throw new Error(`${name}.sol: immutables`)
  const takes = contract.abi.some(({ type, inputs }) => type === 'constructor' && inputs.length)
  if (takes) throw new Error(`${name}.sol: arguments`)
  return bounded(`${name}.sol`, bytes(object), LIMITS.code)
}

/** The variables of a contract, and which slots they lie in. */
function storage(contract) {
  const { storage, types } = contract.storageLayout
  return storage.map(({ label, slot, offset, type }) => ({
    label,
    slot: Number(slot),
    offset,
    bytes: Number(types[type].numberOfBytes),
    type: types[type].label,
  }))
}

/** The files of the Mailbox. */
function mailbox() {
  const contract = compile('Mailbox')
  const facts = {
    mailbox: { abi: contract('Mailbox').abi, storage: storage(contract('Mailbox')) },
    metaToken: {
      abi: contract('MetaToken').abi,
      initCodeHash: hash(bytes(contract('MetaToken').evm.bytecode.object)),
    },
  }
  return { 'Mailbox.bin': runtime(contract('Mailbox'), 'Mailbox'), 'Mailbox.json': text(facts) }
}

/** The files of the bridge's contracts on the chain. */
function bridge() {
  const files = {}
  const facts = {}
  for (const [name, address] of Object.entries(BRIDGE)) {
    const contract = compile(`l2/${name}`)
    files[`${name}.bin`] = runtime(contract(`l2/${name}`), name)
    facts[name] = { address, abi: contract(`l2/${name}`).abi, storage: storage(contract(`l2/${name}`)) }
    if (name !== 'BridgedTokenFactory') continue
    const token = contract('l2/BridgedToken')
    facts.BridgedToken = { abi: token.abi, initCodeHash: hash(bytes(token.evm.bytecode.object)) }
  }
  return { ...files, 'bridge.json': text(facts) }
}

/** The files of bridge/src/l1: code that creates the contracts of the parent chain. */
function parent() {
  const files = {}
  const facts = {}
  for (const name of PARENT) {
    const contract = compile(`l1/${name}`)(`l1/${name}`)
    bounded(`${name}.sol`, bytes(contract.evm.deployedBytecode.object), LIMITS.code)
    const init = bounded(`${name}.sol`, bytes(contract.evm.bytecode.object), LIMITS.init)
    files[`${name}.bin`] = init
    facts[name] = { abi: contract.abi, initCodeHash: hash(init) }
  }
  return { ...files, 'contracts.json': text(facts) }
}

const check = process.argv.includes('--check')
const stale = []
for (const [folder, files] of [[PREDEPLOYS, { ...mailbox(), ...bridge() }], [L1, parent()]]) {
  for (const [name, content] of Object.entries(files)) {
    const file = join(folder, name)
    if (!check) {
      mkdirSync(folder, { recursive: true })
      writeFileSync(file, content)
    }
    else if (!existsSync(file) || !readFileSync(file).equals(content)) stale.push(relative(ROOT, file))
    if (name.endsWith('.bin')) console.log(`${relative(ROOT, file)}: ${content.length} bytes of code`)
  }
}
if (stale.length) {
  console.error(`not what bridge/contracts/src compiles to: ${stale.join(', ')}\nrun \`just contracts\` and commit`)
  process.exit(1)
}
console.log(check ? 'checked' : 'written')
