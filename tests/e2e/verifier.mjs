// Verifies contracts of the chain under test as sourcify.dev would: Sourcify's own library decides, reached by the part
// of its API (v2) that hardhat and forge use.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import {
  SolidityCompilation, SourcifyChain, Verification, setLibSourcifyLoggerLevel,
} from '@ethereum-sourcify/lib-sourcify'
import solc from 'solc'
import { CHAIN_ID, RPC } from './lib.mjs'

const MATCHES = { perfect: 'exact_match', partial: 'match' }

setLibSourcifyLoggerLevel(0)
const chain = new SourcifyChain({ name: 'causeway', chainId: CHAIN_ID, rpcs: [{ rpc: RPC }], supported: true })
const compiler = {
  async compile(version, input) {
    const own = solc.semver().split('.Emscripten')[0]
    if (version.replace(/^v/, '') !== own) throw new Error(`no compiler ${version}: there is ${own}`)
    return JSON.parse(solc.compile(JSON.stringify(input)))
  },
}

async function verify(address, { stdJsonInput, contractIdentifier, compilerVersion, creationTransactionHash }) {
  const [, path, name] = contractIdentifier.match(/^(.*):([^:]+)$/)
  const version = compilerVersion.replace(/^v/, '')
  const compilation = new SolidityCompilation(compiler, version, stdJsonInput, { path, name })
  const verification = new Verification(compilation, chain, address, creationTransactionHash)
  await verification.verify()
  const { runtimeMatch, creationMatch } = verification.status
  return { runtimeMatch: MATCHES[runtimeMatch] ?? null, creationMatch: MATCHES[creationMatch] ?? null }
}

/** Starts it on a free port of this machine. */
export async function startVerifier() {
  const [jobs, contracts] = [new Map(), new Map()]
  const contract = (address) => {
    const found = contracts.get(address.toLowerCase()) ?? { runtimeMatch: null, creationMatch: null }
    return { match: found.runtimeMatch ?? found.creationMatch, ...found, chainId: String(CHAIN_ID), address }
  }

  async function answer(method, url, body) {
    const [, version, what, chainId, address] = url.split('/')
    if (version !== 'v2' || (address && Number(chainId) !== CHAIN_ID)) return [404, { message: `no ${url}` }]
    if (method === 'GET' && what === 'contract') return [contract(address).match ? 200 : 404, contract(address)]
    if (method === 'GET' && what === 'verify') return [200, jobs.get(chainId)]
    if (method !== 'POST' || what !== 'verify') return [404, { message: `no ${url}` }]

    const verificationId = randomUUID()
    const job = { isJobCompleted: true, verificationId, jobStartTime: new Date().toISOString() }
    try {
      contracts.set(address.toLowerCase(), await verify(address, JSON.parse(body)))
      jobs.set(verificationId, { ...job, contract: contract(address) })
    } catch (error) {
      const { code = 'internal_error', message } = error
      const failure = { customCode: code, message, errorId: verificationId }
      jobs.set(verificationId, { ...job, contract: contract(address), error: failure })
    }
    return [202, { verificationId }]
  }

  const server = createServer(async (request, response) => {
    let body = ''
    for await (const text of request.setEncoding('utf8')) body += text
    const [status, json] = await answer(request.method, request.url, body)
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(json))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${server.address().port}`, contract, close: () => server.close() }
}
