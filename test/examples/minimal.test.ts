import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { programFolder } from '../docs/compile'
import { blockNamed } from '../docs/documents'
import { formsOf, TestBrowser } from '../support/browser'

const FOLDER = join(__dirname, '../../examples/minimal')
const CODE = readFileSync(join(FOLDER, 'app.mjs'), 'utf8')

let running: ChildProcess
let output = ''
let url: string
beforeAll(async () => {
  const [port, fakePort] = [await freePort(), await freePort()]
  const folder = programFolder('minimal')
  writeFileSync(join(folder, 'app.mjs'), CODE.replaceAll('3000', String(port)).replace('3001', String(fakePort)))
  running = spawn(process.execPath, [join(folder, 'app.mjs')], { stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [running.stdout, running.stderr]) {
    stream?.on('data', (chunk) => {
      output += chunk
    })
  }
  url = `http://localhost:${port}`
  await printed(/http:\/\/localhost:\d+/)
})
afterAll(() => void running.kill())

async function printed(pattern: RegExp): Promise<RegExpExecArray> {
  for (let attempt = 0; attempt < 400; attempt++) {
    const found = pattern.exec(output)
    if (found) return found
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`no ${pattern} in: ${output}`)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

test('the example signs a user up by the code that it prints, and signs the same user in again', async () => {
  const signIn = async (browser: TestBrowser) => {
    const { location } = await browser.get(`${url}/auth/bitbucket`)
    const consent = await browser.post(location, { person: 'alice', decision: 'allow' })
    return browser.follow(await browser.get(consent.location), url)
  }
  const browser = new TestBrowser()
  expect((await browser.get(url)).text).toContain('Sign in with Bitbucket')
  const { answer: page } = await signIn(browser)
  const form = formsOf(page.text).find(({ action }) => action.endsWith('/email/verify'))
  const [, code = ''] = await printed(/Email to alice@example\.com: your code is (\S+)/)
  await browser.post(`${url}${form?.action}`, { ...form?.fields, code })
  const user = (await browser.get(url)).json()
  expect(user).toMatchObject({ name: 'Alice Archer', email: 'alice@example.com', emailVerified: true })
  const again = new TestBrowser()
  await signIn(again)
  expect((await again.get(url)).json()).toEqual(user)
})

test('the hooks are those of the README', () => {
  const plain = (code: string) => code.replace(/\s+/g, ' ')
  const readme = plain(blockNamed('README.md', 'yours.mjs'))
  const hooks = /accounts = \{ (.*) \}$/.exec(readme.trim())?.[1] ?? 'no hooks'
  expect(plain(CODE)).toContain(hooks)
})
