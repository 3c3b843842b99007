// Chromium without a window, and the pages that it is shown.
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const ARGUMENTS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
]
const TYPES = { html: 'text/html', js: 'text/javascript', json: 'application/json' }

/** Starts it with a new, empty profile. */
export async function launch() {
  if (!existsSync(CHROMIUM)) throw new Error(`no ${CHROMIUM}: apt-get install chromium, or say where by CHROMIUM`)
  const profile = mkdtempSync(join(tmpdir(), 'causeway-chromium-'))
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM, headless: true, args: ARGUMENTS,
  })
  context.setDefaultTimeout(10_000)
  return {
    context,
    async close() {
      await context.close()
      rmSync(profile, { recursive: true, force: true })
    },
  }
}

/** Serves texts by their names on a free port of localhost. */
export async function serve(files) {
  const server = createServer(({ url }, response) => {
    const name = url.slice(1) || 'index.html'
    const text = files[name]
    const type = TYPES[name.split('.').at(-1)] ?? 'text/plain'
    response.writeHead(text === undefined ? 404 : 200, { 'content-type': type })
    response.end(text)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://localhost:${server.address().port}/`,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** Writes down what a page shows, for whoever looks for the reason of a failure; returns the file's path. */
export async function screenshot(page) {
  const path = join(mkdtempSync(join(tmpdir(), 'causeway-page-')), 'page.png')
  await page.screenshot({ path, fullPage: true })
  return path
}
