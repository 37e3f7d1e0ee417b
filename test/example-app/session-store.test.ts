import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadFromApp, openAppDatabase } from './built-app'

let directory: string
// biome-ignore lint/suspicious/noExplicitAny: typed in the app, not here
let db: any
// biome-ignore lint/suspicious/noExplicitAny: typed in the app, not here
let store: any
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sessions-'))
  db = await openAppDatabase({ dataDir: directory })
  const { SqlSessionStore } = await loadFromApp('accounts/session-store.js')
  store = new SqlSessionStore(db)
})
afterAll(async () => {
  await db?.destroy()
  await rm(directory, { recursive: true, force: true })
})

const call = (method: 'get' | 'set' | 'touch' | 'destroy', ...input: unknown[]) =>
  new Promise<Record<string, unknown> | null>((resolve, reject) =>
    store[method](...input, (error: Error | null, value: Record<string, unknown> | null) =>
      error ? reject(error) : resolve(value),
    ),
  )
const inMinutes = (minutes: number) => new Date(Date.now() + minutes * 60_000)
/** The session as a request has it that has just read it. */
const read = async (id: string) => store.createSession({ sessionID: id }, await call('get', id))
const begin = (id: string) => call('set', id, { cookie: { expires: inMinutes(10) }, notice: 'first' })

test('a request that only reads does not undo a concurrent write, and still prolongs the session', async () => {
  await begin('one')
  const [slow, quick] = [await read('one'), await read('one')]
  quick.notice = 'second'
  await call('set', 'one', quick)
  slow.cookie.expires = inMinutes(20)
  await call('touch', 'one', slow)
  const after = await read('one')
  expect(after.notice).toBe('second')
  expect(after.cookie.expires).toEqual(slow.cookie.expires)
})

test('a session that was ended while a request ran stays ended', async () => {
  await begin('two')
  const open = await read('two')
  await call('destroy', 'two')
  await call('set', 'two', open)
  expect(await call('get', 'two')).toBeFalsy()
})
