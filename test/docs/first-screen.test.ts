import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { formsOf, TestBrowser } from '../support/browser'
import { freePort } from '../support/free-port'
import { programFolder } from './compile'
import { blockNamed } from './documents'

let child: ChildProcess | undefined
afterEach(() => child?.kill())

/** Starts the app of the README as it stands there, but for the port numbers. */
function startFirstScreen(port: number, fakePort: number) {
  const folder = programFolder('first-screen')
  const app = blockNamed('README.md', 'app.mjs').replaceAll('3000', String(port)).replace('3001', String(fakePort))
  writeFileSync(join(folder, 'app.mjs'), app)
  writeFileSync(join(folder, 'yours.mjs'), blockNamed('README.md', 'yours.mjs'))
  let output = ''
  const running = spawn(process.execPath, ['app.mjs'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
  child = running
  for (const stream of [running.stdout, running.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk
    })
  }
  return { running, output: () => output }
}

async function runFirstScreen() {
  const port = await freePort()
  const { output } = startFirstScreen(port, await freePort())
  const until = async (pattern: RegExp) => {
    for (let tries = 0; tries < 200; tries++) {
      const found = pattern.exec(output())
      if (found) return found
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(`no ${pattern} in: ${output()}`)
  }
  await until(/http:\/\/localhost:\d+/)
  return { url: `http://localhost:${port}`, until }
}

describe('the app on the first screen of the README', () => {
  it('signs a user in, with the code that it prints', async () => {
    const { url, until } = await runFirstScreen()
    const browser = new TestBrowser()
    const front = await browser.get(url)
    expect(front.text).toContain('Sign in with Bitbucket')
    const { location } = await browser.get(`${url}${/href="([^"]+)"/.exec(front.text)?.[1]}`)
    const consent = await browser.post(location, { person: 'alice', decision: 'allow' })
    const callback = await browser.get(consent.location)
    const { answer: page } = await browser.follow(callback, url)
    const form = formsOf(page.text).find(({ action }) => action.endsWith('/email/verify'))
    const [, code = ''] = await until(/Email to alice@example\.com: your code is (\S+)/)
    const verified = await browser.post(`${url}${form?.action}`, { ...form?.fields, code })
    expect(verified).toMatchObject({ status: 303, location: '/' })
    expect((await browser.get(url)).json()).toMatchObject({
      name: 'Alice Archer',
      email: 'alice@example.com',
      emailVerified: true,
    })
  })

  it('case 31: says that its port is in use and exits with 1', async () => {
    const holder = createServer()
    await new Promise<void>((resolve) => holder.listen(0, resolve))
    try {
      const { port } = holder.address() as { port: number }
      const { running, output } = startFirstScreen(port, await freePort())
      const status = await new Promise((resolve) => running.once('close', resolve))
      expect(status).toBe(1)
      expect(output()).toContain('EADDRINUSE')
      // On a line of its own: Node prints the source line that threw as well.
      expect(output().split('\n')).not.toContain(`http://localhost:${port}`)
    } finally {
      holder.close()
    }
  }, 20_000)

  it('has the page to which a user who cancels is redirected', async () => {
    const { url } = await runFirstScreen()
    const browser = new TestBrowser()
    const { location } = await browser.get(`${url}/auth/bitbucket`)
    const consent = await browser.post(location, { person: 'alice', decision: 'deny' })
    const refusal = await browser.get(consent.location)
    const [back = ''] = [...refusal.text.matchAll(/<a class="button" href="([^"]+)"/g)].map(([, href]) => href)
    const { status, text } = await browser.get(`${url}${back}`)
    expect([status, text.includes('Sign in with Bitbucket')]).toEqual([200, true])
  })
})
