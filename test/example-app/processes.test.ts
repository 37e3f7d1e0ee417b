import { afterAll, beforeAll, expect, test } from 'vitest'
import { startPostgres, type TestPostgres } from '../support/postgres'
import { openAppDatabase } from './built-app'
import { type AppProcesses, startProcesses } from './processes'
import { Visitor } from './visitor'

/** `SIGN_INS=2000 npx vitest run test/example-app/processes.test.ts` for the long run. */
const SIGN_INS = Number(process.env.SIGN_INS ?? 240)
const CONCURRENCY = 32
const PEOPLE = Math.ceil(SIGN_INS / 3)

let postgres: TestPostgres
let processes: AppProcesses
// biome-ignore lint/suspicious/noExplicitAny: Kysely of the example app
let db: any
beforeAll(async () => {
  postgres = await startPostgres()
  const people = Array.from({ length: PEOPLE }, (_, index) => ({ key: `person${index}` }))
  people.push({ key: 'untrusted' })
  processes = await startProcesses({ count: 4, databaseURL: postgres.url, people })
  processes.fake.updatePerson('untrusted', {
    emails: [{ address: 'untrusted@example.com', primary: true, confirmed: false }],
  })
  db = await openAppDatabase({ dataDir: '', databaseURL: postgres.url })
}, 120_000)
afterAll(async () => {
  await db?.destroy()
  await processes?.stop()
  await postgres?.stop()
})

/** One sign-in through the proxy: every request meets another process. `null` = done, else what went wrong on the way. */
async function signIn(visitor: Visitor, person: string): Promise<string | null> {
  const start = await visitor.send('/auth/bitbucket')
  if (start.status !== 302) return `start ${start.status}`
  const callback = await visitor.send(await processes.fake.signIn(start.headers.location ?? '', { person }))
  if (callback.status !== 302) return `callback ${callback.status}`
  const me = await visitor.send('/me')
  if (me.status !== 200) return `me ${me.status}`
  const { uuid } = processes.fake.person(person)
  // Somebody else, or nobody, in one's own session would be the worst that can happen.
  expect(me.json.user.identities.map((identity: { id: string }) => identity.id)).toEqual([uuid])
  return null
}

test('start on one process, callback on the next, code on a third', async () => {
  const visitor = new Visitor(processes.url)
  const start = await visitor.send('/auth/bitbucket')
  const page = await visitor.visit(await processes.fake.signIn(start.headers.location ?? '', { person: 'untrusted' }))
  const [app] = processes.apps
  await visitor.submit(page, '/auth/bitbucket/email/verify', { code: (await app?.code('untrusted@example.com')) ?? '' })
  expect(await visitor.me()).toMatchObject({ email: 'untrusted@example.com', emailVerified: true })
})

test('twenty concurrent first sign-ins of one user create one account', async () => {
  const visitors = Array.from({ length: 20 }, () => new Visitor(processes.url))
  const results = await Promise.all(visitors.map((visitor) => signIn(visitor, 'person0')))
  const users = db.selectFrom('users').select('id').where('email_lower', '=', 'person0@example.com')
  expect(await users.execute()).toHaveLength(1)
  expect(results.filter((result) => result === null).length).toBeGreaterThan(0)
})

test(`${SIGN_INS} sign-ins, ${CONCURRENCY} at a time, while a process is killed and replaced`, async () => {
  const failures: string[] = []
  let next = 0
  const work = async () => {
    while (next < SIGN_INS) {
      const person = `person${next++ % PEOPLE}`
      const visitor = new Visitor(processes.url)
      for (let tries = 0; tries < 4; tries++) {
        const problem = await signIn(visitor, person).catch((error: NodeJS.ErrnoException) => {
          // The process died in the middle of its answer.
          if (error.code === 'ECONNRESET') return 'connection lost'
          throw error
        })
        if (problem === null) break
        failures.push(problem)
        if (tries === 3) throw new Error(`${person} did not get in: ${problem}`)
      }
    }
  }
  const disturb = async () => {
    while (next < SIGN_INS / 3) await new Promise((resolve) => setTimeout(resolve, 10))
    await processes.replace(1)
  }
  await Promise.all([disturb(), ...Array.from({ length: CONCURRENCY }, work)])

  const users = await db.selectFrom('users').select('email').where('email', 'like', 'person%').execute()
  expect(users).toHaveLength(PEOPLE)
  expect(new Set(users.map(({ email }: { email: string }) => email)).size).toBe(PEOPLE)
  const identities = await db.selectFrom('identities').select('user_id').execute()
  expect(identities).toHaveLength(PEOPLE + 1)
  expect(new Set(identities.map(({ user_id }: { user_id: string }) => user_id)).size).toBe(PEOPLE + 1)
  // At most what was under way on the killed process when it died.
  expect(failures.length, failures.join(', ')).toBeLessThanOrEqual(CONCURRENCY)
}, 300_000)

test('a database that goes away under load causes clean errors, and needs no restart', async () => {
  const problems = new Set<string>()
  let done = 0
  let stop = false
  const load = async (person: string) => {
    while (!stop) {
      const problem = await signIn(new Visitor(processes.url), person)
      if (problem === null) done++
      else problems.add(problem)
    }
  }
  const running = Array.from({ length: 8 }, (_, index) => load(`person${index}`))
  await new Promise((resolve) => setTimeout(resolve, 300))
  await postgres.restart()
  const doneBefore = done
  await new Promise((resolve) => setTimeout(resolve, 1500))
  stop = true
  await Promise.all(running)
  // Every page says "try again". No process died, or there would be a 502.
  expect([...problems].filter((problem) => !/ 503$/.test(problem))).toEqual([])
  expect(problems.size).toBeGreaterThan(0)
  expect(done).toBeGreaterThan(doneBefore)
})
