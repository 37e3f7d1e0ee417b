import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterEach, expect, test } from 'vitest'
import { type ExampleApp, startExampleApp } from './app'
import { openAppDatabase } from './built-app'
import { Visitor } from './visitor'

const cleanUp: (() => unknown)[] = []
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step()
})

async function start(env: Record<string, string> = {}): Promise<ExampleApp> {
  const app = await startExampleApp(env)
  cleanUp.push(() => app.stop())
  return app
}

test('SIGTERM lets a sign-in in progress finish, refuses others, and ends with status 0', async () => {
  const fake = await startFakeBitbucket({
    clients: [{ clientID: 'corkboard-demo', clientSecret: 'corkboard-demo-secret', callbackURL: '*' }],
  })
  cleanUp.push(() => fake.close())
  const app = await startExampleApp({ FAKE_BITBUCKET_URL: fake.url, TRUSTED_PROVIDER: 'true' })
  const visitor = new Visitor(app.url)
  const begun = await visitor.send('/auth/bitbucket')
  const back = await fake.signIn(begun.headers.location ?? '', { person: 'alice' })
  fake.script('token', { delayMs: 1000 })
  const callback = visitor.send(back)
  while (fake.count('token') === 0) await new Promise((resolve) => setTimeout(resolve, 10))
  const stopped = app.stop()
  const refusal = () => new Visitor(app.url).send('/').then(String, (error: Error) => error.message)
  await expect.poll(refusal, { timeout: 10_000 }).toContain('ECONNREFUSED')
  expect(await callback).toMatchObject({ status: 302, headers: { location: '/account?bitbucket=signed-up' } })
  expect(await stopped).toBe(0)
})

test('SMTP_URL makes codes leave by email, without a mailbox page', async () => {
  const mails: string[] = []
  const smtp = await startSmtp(mails)
  const address = smtp.address()
  const port = typeof address === 'object' ? address?.port : 0
  const app = await start({ SMTP_URL: `smtp://127.0.0.1:${port}?ignoreTLS=true` })
  const visitor = new Visitor(app.url)
  await visitor.visit('/sign-up', {
    form: { name: 'Mia', email: 'mia@example.net', password: 'a long enough password' },
  })
  while (mails.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
  expect(mails[0]).toContain('To: mia@example.net')
  const code = /\d{4} \d{4}/.exec(mails[0] ?? '')?.[0] ?? ''
  await visitor.visit('/code', { form: { code } })
  expect(await visitor.me()).toMatchObject({ email: 'mia@example.net' })
  expect((await visitor.send('/dev/mailbox')).status).toBe(404)
})

test('sensitive actions require the password again when the sign-in is old', async () => {
  const app = await start()
  const visitor = new Visitor(app.url)
  const confirm = () =>
    visitor.visit('/sign-in', {
      form: { email: 'admin@corkboard.example', password: 'corkboard-demo', returnTo: '/account' },
    })
  await confirm()
  const db = await openAppDatabase(app)
  for (const { id, data } of await db.selectFrom('sessions').selectAll().execute()) {
    const aged = { ...JSON.parse(data), passwordAt: Date.now() - 11 * 60_000 }
    await db
      .updateTable('sessions')
      .set({ data: JSON.stringify(aged) })
      .where('id', '=', id)
      .execute()
  }
  await db.destroy()
  const asked = await visitor.visit('/account/password', { form: { password: 'a long enough password' } })
  expect(asked.url).toBe(`${app.url}/sign-in?returnTo=/account`)
  expect(asked.text).toContain('Confirm that it is you')
  expect((await visitor.send('/auth/bitbucket/link')).headers.location).toContain('/sign-in')
  await confirm()
  const done = await visitor.visit('/account/password', { form: { password: 'a long enough password' } })
  expect(done.text).toContain('Your password is set')
  expect((await visitor.send('/auth/bitbucket/link')).status).toBe(200)
})

test('a restart on the same DATA_DIR keeps users and their sessions', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'example-app-'))
  cleanUp.push(() => rm(dataDir, { recursive: true, force: true }))
  const first = await startExampleApp({ DATA_DIR: dataDir })
  const visitor = new Visitor(first.url)
  await visitor.visit('/sign-in', { form: { email: 'admin@corkboard.example', password: 'corkboard-demo' } })
  const before = await visitor.me()
  await first.stop('SIGKILL')
  await start({ DATA_DIR: dataDir, PORT: String(first.port) })
  expect(before).toMatchObject({ name: 'Ada Admin' })
  expect(await visitor.me()).toEqual(before)
})

test('two processes that start concurrently on one empty DATA_DIR both start', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'example-app-'))
  cleanUp.push(() => rm(dataDir, { recursive: true, force: true }))
  const apps = await Promise.all([start({ DATA_DIR: dataDir }), start({ DATA_DIR: dataDir })])
  const db = await openAppDatabase({ dataDir })
  expect(await db.selectFrom('users').select('email').execute()).toHaveLength(1)
  await db.destroy()
  expect(apps).toHaveLength(2)
})

/** Enough of SMTP to take a mail. */
async function startSmtp(mails: string[]): Promise<Server> {
  const server = createServer((socket) => {
    let data: string | null = null
    socket.write('220 test\r\n')
    socket.on('data', (chunk) => {
      const text = chunk.toString()
      if (data !== null) {
        data += text
        if (!data.endsWith('\r\n.\r\n')) return
        mails.push(data)
        data = null
        socket.write('250 taken\r\n')
      } else if (text.startsWith('DATA')) {
        data = ''
        socket.write('354 go on\r\n')
      } else if (text.startsWith('QUIT')) socket.end('221 bye\r\n')
      else socket.write('250 ok\r\n')
    })
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanUp.push(() => server.close())
  return server
}
