// Compiles contracts/*.sol with npm solc; imports come from node_modules.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import solc from 'solc'
import { MODULES } from './lib.mjs'

const CONTRACTS = join(import.meta.dirname, 'contracts')

export function compile(outputDir) {
  const sources = Object.fromEntries(
    readdirSync(CONTRACTS).map((file) => [file, { content: readFileSync(join(CONTRACTS, file), 'utf8') }]),
  )
  const input = {
    language: 'Solidity',
    sources,
    settings: {
      evmVersion: 'osaka',
      optimizer: { enabled: true, runs: 200 },
      outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } },
    },
  }
  const findImport = (path) => ({ contents: readFileSync(join(MODULES, path), 'utf8') })
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }))
  const errors = (output.errors ?? []).filter((e) => e.severity === 'error')
  if (errors.length) throw new Error(errors.map((e) => e.formattedMessage).join('\n'))
  for (const file of Object.keys(sources)) {
    for (const [name, { abi, evm }] of Object.entries(output.contracts[file])) {
      writeFileSync(join(outputDir, `${name}.json`), JSON.stringify({ abi, bytecode: `0x${evm.bytecode.object}` }))
    }
  }
}
