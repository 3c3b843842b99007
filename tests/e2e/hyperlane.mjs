// Prints the creation code of Hyperlane's test contracts, as its package publishes them compiled.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MODULES } from './lib.mjs'

const FACTORIES = join(MODULES, '@hyperlane-xyz/core/dist/factories/contracts/test')

// Read as text: the factories themselves would need the ethers of another age.
function creationCode(name) {
  const text = readFileSync(join(FACTORIES, `${name}__factory.js`), 'utf8')
  const found = text.match(/_bytecode = "(0x[0-9a-f]+)"/)
  if (!found) throw new Error(`no code in the factory of ${name}`)
  return found[1]
}

const names = ['TestRecipient', 'TestMerkleTreeHook', 'TestMessage']
console.log(JSON.stringify(Object.fromEntries(names.map((name) => [name, creationCode(name)]))))
