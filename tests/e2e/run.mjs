// Runs the scenarios against a live chain: node run.mjs --rpc URL --ws URL [--full-rpc URL] [--only NAME]
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { parseArgs } from 'node:util'
import { compile } from './compile.mjs'
import { ANVIL, rpc } from './lib.mjs'

const SCENARIOS = join(import.meta.dirname, 'scenarios')
const SCENARIO_TIMEOUT = 120_000

const { values: args } = parseArgs({
  options: {
    rpc: { type: 'string' },
    ws: { type: 'string' },
    'full-rpc': { type: 'string', default: '' },
    only: { type: 'string' },
  },
})
if (!args.rpc || !args.ws) throw new Error('usage: node run.mjs --rpc URL --ws URL [--full-rpc URL] [--only NAME]')

const names = readdirSync(SCENARIOS).map((file) => basename(file, '.mjs'))
if (args.only && !names.includes(args.only)) throw new Error(`no scenario ${args.only}: choose one of ${names.join(', ')}`)
const files = (args.only ? [args.only] : names).map((name) => join(SCENARIOS, `${name}.mjs`))

/** The reference chain: same chain id and hard fork, on a port the system picks. */
async function startAnvil(chainId) {
  const anvil = spawn(ANVIL, [
    '--host', '127.0.0.1', '--port', '0', '--chain-id', String(chainId), '--hardfork', 'osaka', '--enable-tx-gas-limit', '--steps-tracing',
  ], { stdio: ['ignore', 'pipe', 'inherit'] })
  process.on('exit', () => anvil.kill())
  for await (const line of createInterface({ input: anvil.stdout })) {
    const listening = line.match(/^Listening on (\S+)$/)
    if (listening) {
      anvil.stdout.resume()
      return { anvil, url: `http://${listening[1]}` }
    }
  }
  throw new Error('anvil stopped before it was listening')
}

process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))

const chainId = Number(await rpc(args.rpc, 'eth_chainId'))
const artifacts = mkdtempSync(join(tmpdir(), 'causeway-e2e-'))
process.on('exit', () => rmSync(artifacts, { recursive: true }))
compile(artifacts)
const { anvil, url } = await startAnvil(chainId)

// The runner starts one process a scenario; this is how it learns where the chains are.
Object.assign(process.env, {
  E2E_RPC: args.rpc,
  E2E_WS: args.ws,
  E2E_FULL_RPC: args['full-rpc'],
  E2E_REFERENCE_RPC: url,
  E2E_CHAIN_ID: String(chainId),
  E2E_ARTIFACTS: artifacts,
})

const stop = new AbortController()
process.on('exit', () => stop.abort())
const results = run({ files, concurrency: false, timeout: SCENARIO_TIMEOUT, signal: stop.signal })
results.on('test:fail', () => { process.exitCode = 1 })
const report = results.compose(new spec())
report.pipe(process.stdout)
await once(report, 'end')

anvil.kill()
await once(anvil, 'exit')
