// Compiles the predeploys with the pinned compiler: the same bytes on every machine. Writes
// chainspec/predeploys; with --check it only says whether what lies there is what comes out.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import sha3 from 'js-sha3'
import solc from 'solc'

const HERE = import.meta.dirname
const ROOT = join(HERE, '../..')
const OUT = join(ROOT, 'chainspec/predeploys')
const SETTINGS = {
  evmVersion: 'prague',
  optimizer: { enabled: true, runs: 200 },
  viaIR: true,
  metadata: { bytecodeHash: 'none' },
}

function sources() {
  const files = readdirSync(join(HERE, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.sol'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort()
  const name = (file) => relative(HERE, file).replaceAll('\\', '/')
  return Object.fromEntries(files.map((file) => [name(file), { content: readFileSync(file, 'utf8') }]))
}

function compile() {
  const outputs = ['abi', 'evm.bytecode.object', 'evm.deployedBytecode', 'storageLayout']
  const settings = { ...SETTINGS, outputSelection: { '*': { '*': outputs } } }
  const input = { language: 'Solidity', sources: sources(), settings }
  const output = JSON.parse(solc.compile(JSON.stringify(input)))
  const messages = (output.errors ?? []).map((error) => error.formattedMessage)
  if (messages.length) throw new Error(messages.join('\n'))
  return (contract) => output.contracts[`src/${contract}.sol`][contract]
}

/** The files of chainspec/predeploys by name. */
function build() {
  const contract = compile()
  const mailbox = contract('Mailbox')
  const code = mailbox.evm.deployedBytecode
  // A predeploy has no constructor that could fill them in.
  if (Object.keys(code.immutableReferences ?? {}).length) throw new Error('Mailbox.sol: immutables')
  const runtime = Buffer.from(code.object, 'hex')
  if (runtime.length > 24_576) throw new Error(`Mailbox.sol: ${runtime.length} bytes of code, most 24576`)
  const init = Buffer.from(contract('MetaToken').evm.bytecode.object, 'hex')
  const { storage, types } = mailbox.storageLayout
  const facts = {
    compiler: solc.version(),
    settings: SETTINGS,
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
      initCodeHash: `0x${sha3.keccak256(init)}`,
    },
  }
  const text = `${JSON.stringify(facts, null, 2)}\n`
  return { 'Mailbox.bin': runtime, 'Mailbox.json': Buffer.from(text) }
}

const check = process.argv.includes('--check')
const files = build()
const stale = []
for (const [name, bytes] of Object.entries(files)) {
  const file = join(OUT, name)
  if (!check) writeFileSync(file, bytes)
  else if (!existsSync(file) || !readFileSync(file).equals(bytes)) stale.push(relative(ROOT, file))
}
if (stale.length) {
  console.error(`not what bridge/contracts/src compiles to: ${stale.join(', ')}\nrun \`just contracts\` and commit`)
  process.exit(1)
}
console.log(`${check ? 'checked' : 'written'}: Mailbox, ${files['Mailbox.bin'].length} bytes of code`)
