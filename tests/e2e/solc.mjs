#!/usr/bin/env node
// npm's solc with the command line of the native one, as far as Foundry speaks it.
import solc from 'solc'

if (process.argv.includes('--version')) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`)
} else if (process.argv.includes('--standard-json')) {
  let input = ''
  for await (const text of process.stdin.setEncoding('utf8')) input += text
  process.stdout.write(solc.compile(input))
} else {
  console.error('only --version and --standard-json')
  process.exitCode = 1
}
