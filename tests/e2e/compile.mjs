// Compiles contracts/*.sol with npm solc; imports come from node_modules.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import solc from 'solc'
import { MODULES } from './lib.mjs'

const CONTRACTS = join(import.meta.dirname, 'contracts')

/** The contracts of a folder by name, as `{ abi, bytecode }`. */
export function compiled(folder, { imports = MODULES, ...settings } = {}) {
  const sources = Object.fromEntries(
    readdirSync(folder).map((file) => [file, { content: readFileSync(join(folder, file), 'utf8') }]),
  )
  const input = {
    language: 'Solidity',
    sources,
    settings: {
      evmVersion: 'osaka',
      optimizer: { enabled: true, runs: 200 },
      outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } },
      ...settings,
    },
  }
  const findImport = (path) => ({ contents: readFileSync(join(imports, path), 'utf8') })
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }))
  const errors = (output.errors ?? []).filter((e) => e.severity === 'error')
  if (errors.length) throw new Error(errors.map((e) => e.formattedMessage).join('\n'))
  const contracts = Object.keys(sources).flatMap((file) => Object.entries(output.contracts[file]))
  return Object.fromEntries(contracts.map(([name, { abi, evm }]) => [name, { abi, bytecode: `0x${evm.bytecode.object}` }]))
}

export function compile(outputDir) {
  for (const [name, contract] of Object.entries(compiled(CONTRACTS))) {
    writeFileSync(join(outputDir, `${name}.json`), JSON.stringify(contract))
  }
}
