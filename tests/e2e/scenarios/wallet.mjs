// A page, a wallet and the node, in a browser: the page adds the chain, switches to it, sends and signs.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { build } from 'esbuild'
import { parseEther } from 'viem'
import { launch, screenshot, serve } from '../browser/chromium.mjs'
import {
  CHAIN_ID, RPC, WS, contract, deploy, devAccount, devKey, freshAccount, permitMessage, publicClient,
} from '../lib.mjs'

/** Of the dev accounts, not the one that funds the others. */
const ACCOUNT = 8
const FOLDER = join(import.meta.dirname, '../browser')

const bundle = async (file, options) => {
  const { outputFiles } = await build({
    entryPoints: [join(FOLDER, file)], bundle: true, write: false, target: 'es2022', logLevel: 'silent', ...options,
  })
  return outputFiles[0].text
}

describe('wallet', () => {
  const client = publicClient()
  const owner = devAccount(ACCOUNT)
  const [recipient, spender] = [freshAccount().address, freshAccount().address]
  const said = []
  let browser, pages, page, token

  before(async () => {
    const coin = contract('Coin')
    token = { address: await deploy(coin, [1000n], owner), abi: coin.abi }
    const permit = permitMessage(token.address, { owner: owner.address, spender, value: '70' })
    const [dapp, wallet] = await Promise.all([
      bundle('dapp.mjs', { format: 'esm' }),
      bundle('wallet.mjs', { format: 'iife', define: { WALLET_KEY: JSON.stringify(devKey(ACCOUNT)) } }),
    ])
    pages = await serve({
      'index.html': readFileSync(join(FOLDER, 'index.html')),
      'dapp.js': dapp,
      'config.json': JSON.stringify({ id: CHAIN_ID, rpc: RPC, ws: WS, recipient, token, permit }),
    })
    browser = await launch()
    page = await browser.context.newPage()
    page.on('console', (message) => said.push(message.text()))
    page.on('pageerror', (error) => said.push(String(error)))
    await page.addInitScript({ content: wallet })
    await page.goto(pages.url)
  })

  after(async () => {
    await browser?.close()
    pages?.close()
  })

  /** A test whose failure says what the page showed and said. */
  const step = (name, act) => it(name, async () => {
    try {
      await act()
    } catch (error) {
      throw new Error(`${error.message}\nthe page: ${await screenshot(page)}\n${said.join('\n')}`, { cause: error })
    }
  })

  /** Clicks a button and gives what the page says once it is done. */
  async function click(name) {
    await page.click(`#${name}`)
    await page.waitForFunction(() => !['', 'working'].includes(document.getElementById('status').textContent))
    return page.textContent('#status')
  }
  const shown = (name, text) =>
    page.waitForFunction(([name, text]) => document.getElementById(name).textContent === text, [name, String(text)])

  step('the page finds the wallet that announces itself, and connects', async () => {
    await shown('wallet', 'Test Wallet')
    assert.equal(await click('connect'), 'connected')
    await shown('account', owner.address)
    await shown('chain', 1)
  })

  step('a chain that is not what it says is refused', async () => {
    assert.match(await click('impostor'), /the RPC does not match the chain id/)
  })

  step('the page adds the chain and switches to it', async () => {
    assert.equal(await click('network'), 'switched')
    await shown('chain', CHAIN_ID)
  })

  step('a transaction is sent, and the page sees it included', async () => {
    const status = await click('send')
    const [, block, hash] = status.match(/^success in block (\d+): (0x\w+)$/) ?? assert.fail(status)
    assert.equal((await client.getTransactionReceipt({ hash })).blockNumber, BigInt(block))
    assert.equal(await client.getBalance({ address: recipient }), parseEther('0.1'))
    await page.waitForFunction((block) => Number(document.getElementById('block').textContent) >= block, Number(block))
  })

  step('what the node refuses, the page can tell', async () => {
    assert.match(await click('overspend'), /exceeds the balance of the account|insufficient funds/i)
  })

  step('typed data is signed, and the chain takes the signature', async () => {
    assert.equal(await click('permit'), 'allowance 70')
    const args = [owner.address, spender]
    assert.equal(await client.readContract({ ...token, functionName: 'allowance', args }), 70n)
  })
})
