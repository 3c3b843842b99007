// Compiles the contracts with the pinned compiler: the same bytes on every machine. Writes
// chainspec/predeploys and bridge/src/l1; with --check it only says whether what lies there is what
// comes out.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
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

/** The files below a folder of src, by the names that the compiler knows them by. */
function sources(keep) {
  const files = readdirSync(join(HERE, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.sol'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
  const name = (file) => relative(HERE, file).replaceAll('\\', '/')
  const kept = files.filter((file) => keep(name(file)))
  return Object.fromEntries(kept.map((file) => [name(file), { content: readFileSync(file, 'utf8') }]))
}

/** What the files that `keep` names compile to. What is compiled together may change each other's bytes. */
function compile(keep) {
  const outputs = ['abi', 'evm.bytecode.object', 'evm.deployedBytecode', 'storageLayout']
  const settings = { ...SETTINGS, outputSelection: { '*': { '*': outputs } } }
  const input = { language: 'Solidity', sources: sources(keep), settings }
  const output = JSON.parse(solc.compile(JSON.stringify(input)))
  const messages = (output.errors ?? []).map((error) => error.formattedMessage)
  if (messages.length) throw new Error(messages.join('\n'))
  return (path) => output.contracts[`src/${path}.sol`][path.split('/').pop()]
}

function bounded(what, code, most) {
  if (code.length > most) throw new Error(`${what}: ${code.length} bytes of code, most ${most}`)
  return code
}

const bytes = (hex) => Buffer.from(hex, 'hex')
const hash = (code) => `0x${sha3.keccak256(code)}`
const text = (facts) => Buffer.from(`${JSON.stringify({ compiler: solc.version(), settings: SETTINGS, ...facts }, null, 2)}\n`)

/** The files of chainspec/predeploys: code as it lies in genesis. */
function predeploys() {
  const contract = compile((name) => !name.startsWith('src/l1/'))
  const mailbox = contract('Mailbox')
  const code = mailbox.evm.deployedBytecode
  // A predeploy has no constructor that could fill them in.
  if (Object.keys(code.immutableReferences ?? {}).length) throw new Error('Mailbox.sol: immutables')
  const { storage, types } = mailbox.storageLayout
  const facts = {
    mailbox: {
      abi: mailbox.abi,
      storage: storage.map(({ label, slot, offset, type }) => ({
        label,
        slot: Number(slot),
        offset,
        bytes: Number(types[type].numberOfBytes),
        type: types[type].label,
      })),
    },
    metaToken: {
      abi: contract('MetaToken').abi,
      initCodeHash: hash(bytes(contract('MetaToken').evm.bytecode.object)),
    },
  }
  return { 'Mailbox.bin': bounded('Mailbox.sol', bytes(code.object), LIMITS.code), 'Mailbox.json': text(facts) }
}

/** The files of bridge/src/l1: code that creates the contracts of the parent chain, each compiled alone. */
function parent() {
  const files = {}
  const facts = {}
  for (const name of ['Portal', 'SystemConfig']) {
    const contract = compile((file) => file === `src/l1/${name}.sol`)(`l1/${name}`)
    bounded(`${name}.sol`, bytes(contract.evm.deployedBytecode.object), LIMITS.code)
    const init = bounded(`${name}.sol`, bytes(contract.evm.bytecode.object), LIMITS.init)
    files[`${name}.bin`] = init
    facts[name] = { abi: contract.abi, initCodeHash: hash(init) }
  }
  return { ...files, 'contracts.json': text(facts) }
}

const check = process.argv.includes('--check')
const stale = []
for (const [folder, files] of [[PREDEPLOYS, predeploys()], [L1, parent()]]) {
  for (const [name, content] of Object.entries(files)) {
    const file = join(folder, name)
    if (!check) writeFileSync(file, content)
    else if (!existsSync(file) || !readFileSync(file).equals(content)) stale.push(relative(ROOT, file))
    if (name.endsWith('.bin')) console.log(`${relative(ROOT, file)}: ${content.length} bytes of code`)
  }
}
if (stale.length) {
  console.error(`not what bridge/contracts/src compiles to: ${stale.join(', ')}\nrun \`just contracts\` and commit`)
  process.exit(1)
}
console.log(check ? 'checked' : 'written')
