import session = require('express-session')

import type { AccountHooks } from 'passport-bitbucket-signin'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import type { Pool, PoolClient } from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { User } from '../../recipes/pg/accounts'
import { TestAccounts, type TestUser } from '../support/accounts'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'
import { choose, link } from '../support/steps'
import { type Edit, hooksWith } from './edited-recipe'
import { type RecipeDatabase, startRecipeDatabase } from './pg-harness'

/*
 * Races inside the app's own transactions, on PostgreSQL: each flow is run once to count the queries of its hooks, and
 * again for each query and each change of accounts. The request is held there, another connection changes the account, and
 * the request continues. Where a row lock makes the change wait, the request continues until its commit, then the change
 * ends. SECURITY.md names what is not covered: a `DELETE` of sessions that overlaps the save of a new one.
 */

/** Counts the queries of hooks, and holds a request at one of them. */
class Stage {
  readonly points: string[] = []
  active = false
  /** A change that waits for this transaction; the request does not overtake it. */
  afterCommit: Promise<void> = Promise.resolve()
  #holdAt = -1
  #held: () => Promise<void> = async () => {}

  begin(holdAt = -1, held = async () => {}): void {
    this.points.length = 0
    this.active = true
    this.afterCommit = Promise.resolve()
    this.#holdAt = holdAt
    this.#held = held
  }

  async at(point: string): Promise<void> {
    if (!this.active) return
    this.points.push(point)
    if (this.points.length - 1 === this.#holdAt) await this.#held()
    if (point === 'after COMMIT') await this.afterCommit
  }
}

/** A pool whose queries can be held, inside transactions as well. A commit can be held on both sides. */
function staged(pool: Pool, stage: Stage): Pool {
  const queriesOf = (target: Pool | PoolClient) => async (sql: string, values?: unknown[]) => {
    await stage.at(`before ${sql}`)
    const result = await target.query(sql, values)
    if (sql === 'COMMIT') await stage.at(`after ${sql}`)
    return result
  }
  const connect = async () => {
    const client = await pool.connect()
    return { query: queriesOf(client), release: () => client.release() }
  }
  return { query: queriesOf(pool), connect } as unknown as Pool
}

/** Sessions in the table of connect-pg-simple. */
class TableStore extends session.Store {
  constructor(readonly pool: Pool) {
    super()
  }

  override get(sid: string, done: (error: unknown, data?: session.SessionData | null) => void): void {
    const sql = 'SELECT sess FROM session WHERE sid = $1'
    this.pool.query(sql, [sid]).then(({ rows }) => done(null, rows[0]?.sess ?? null), done)
  }

  override set(sid: string, data: session.SessionData, done: (error?: unknown) => void = () => {}): void {
    const sql = `INSERT INTO session VALUES ($1, $2, now() + interval '1 hour')
      ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess`
    this.pool.query(sql, [sid, data]).then(() => done(), done)
  }

  override destroy(sid: string, done: (error?: unknown) => void = () => {}): void {
    this.pool.query('DELETE FROM session WHERE sid = $1', [sid]).then(() => done(), done)
  }
}

/** The recipe's hooks, where the harness expects its own accounts. */
class PostgresAccounts extends TestAccounts {
  constructor(readonly recipe: AccountHooks<User>) {
    super()
  }

  override hooks(): AccountHooks<TestUser> {
    return this.recipe as unknown as AccountHooks<TestUser>
  }
}

interface Bench {
  readonly app: TestApp
  readonly accounts: PostgresAccounts
  readonly stage: Stage
}

const ADDRESS = 'alice@example.com'
const LINKS = { options: { policy: { matchingAccount: 'prove' } } } as const

let fake: FakeBitbucket
let server: RecipeDatabase
/** Makes the changes: another connection than those of the hooks. */
let others: Pool
beforeAll(async () => {
  fake = await startFakeBitbucket()
  server = await startRecipeDatabase()
  others = server.openPool()
})
afterAll(async () => {
  await others.end()
  await server.stop()
  await fake.close()
})

async function startBench(edits: readonly Edit[] = [], options: TestAppOptions = {}): Promise<Bench> {
  const stage = new Stage()
  const { pool } = server
  const accounts = new PostgresAccounts(await hooksWith(edits, staged(pool, stage)))
  const app = await startTestApp({ fake, accounts, session: { store: new TableStore(pool) }, ...options })
  const passport = app.passport as unknown as { _deserializers: unknown[] }
  passport._deserializers.length = 0
  app.passport.deserializeUser((id: string, done) => {
    pool.query('SELECT * FROM users WHERE id = $1', [id]).then(({ rows }) => done(null, rows[0] ?? false), done)
  })
  return { app, accounts, stage }
}

const alice = () => ({ issuer: new URL(fake.url).origin, id: fake.person('alice').uuid })

async function addUser({ accounts }: Bench, verified: boolean, identity = false): Promise<TestUser> {
  const sql = 'INSERT INTO users (name, email, email_verified, password_hash) VALUES ($1, $2, $3, $4) RETURNING *'
  const user = (await others.query(sql, ['Alice', ADDRESS, verified, 'hash'])).rows[0]
  accounts.users.set(user.id, user)
  if (identity) await addIdentity(user.id, alice().id)
  return user
}

function addIdentity(user: string, subject: string) {
  const sql = "INSERT INTO identities (issuer, subject, user_id, profile) VALUES ($1, $2, $3, '{}')"
  return others.query(sql, [alice().issuer, subject, user])
}

interface Flow {
  readonly options?: TestAppOptions
  /** Whether the session is held by the identity, or by the sign-in of before. */
  readonly heldBy: 'identity' | 'member'
  /** Everything before the request that is raced. */
  prepare(bench: Bench, browser: TestBrowser): Promise<() => Promise<Answer>>
}

async function callback({ app }: Bench, browser: TestBrowser): Promise<() => Promise<Answer>> {
  const url = await fake.signIn(await app.start(browser), { person: 'alice' })
  return () => browser.get(url)
}

/** Only an address that nobody verified can be claimed. */
const changesOf = (name: string) => Object.keys(CHANGES).filter((each) => each !== 'claimed' || name === 'claim')

const FLOWS: Readonly<Record<string, Flow>> = {
  'sign in': {
    heldBy: 'identity',
    async prepare(bench, browser) {
      await addUser(bench, true, true)
      return callback(bench, browser)
    },
  },
  'sign up': { heldBy: 'identity', prepare: callback },
  'link by address': {
    heldBy: 'identity',
    async prepare(bench, browser) {
      await addUser(bench, true)
      return callback(bench, browser)
    },
  },
  claim: {
    heldBy: 'identity',
    async prepare(bench, browser) {
      await addUser(bench, false)
      return callback(bench, browser)
    },
  },
  link: {
    heldBy: 'member',
    async prepare(bench, browser) {
      await bench.app.localSignIn(browser, await addUser(bench, true))
      const { location } = await bench.app.submit(browser, '/auth/bitbucket/link', '/link')
      const url = await fake.signIn(location, { person: 'alice' })
      return () => browser.get(url)
    },
  },
  confirm: {
    heldBy: 'member',
    options: LINKS,
    async prepare(bench, browser) {
      const member = await addUser(bench, true)
      await (await callback(bench, browser))()
      await bench.app.localSignIn(browser, member)
      return () => choose(bench.app, browser, 'confirm')
    },
  },
  unlink: {
    heldBy: 'member',
    async prepare(bench, browser) {
      await bench.app.localSignIn(browser, await addUser(bench, true))
      await link(bench.app, browser, 'alice')
      return () => browser.post(`${bench.app.url}/auth/bitbucket/unlink`, { id: alice().id })
    },
  },
}

/** What other requests do meanwhile, in one transaction. */
const CHANGES: Readonly<Record<string, (client: PoolClient, user: string) => Promise<unknown>>> = {
  async claimed(client, user) {
    const sql = 'UPDATE users SET email = NULL WHERE id = $1 AND NOT email_verified'
    if ((await client.query(sql, [user])).rowCount === 0) return
    const added = "INSERT INTO users (name, email, email_verified) VALUES ('Zoe', $1, true)"
    await client.query(added, [ADDRESS])
  },
  async unlinked(client, user) {
    await client.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [user])
    await client.query('DELETE FROM identities WHERE user_id = $1', [user])
  },
  suspended: (client, user) => client.query('UPDATE users SET suspended = true WHERE id = $1', [user]),
  deleted: (client, user) => client.query('DELETE FROM users WHERE id = $1', [user]),
  'sessions ended': async () => {},
}

/** Changes the accounts that hold the address or identity, then ends their sessions. */
async function change(name: string): Promise<void> {
  const found = await others.query(
    'SELECT id FROM users WHERE lower(email) = $1 UNION SELECT user_id FROM identities WHERE subject = $2',
    [ADDRESS, alice().id],
  )
  for (const { id } of found.rows) {
    const client = await others.connect()
    try {
      await client.query('BEGIN')
      await CHANGES[name]?.(client, id)
      await client.query('COMMIT')
    } catch (error) {
      await client.query('ROLLBACK')
      // The address went to the owner meanwhile, or two requests waited for each other: this one changed nothing.
      if (!['23505', '40P01'].includes((error as { code?: string }).code ?? '')) throw error
    } finally {
      client.release()
    }
    await others.query("DELETE FROM session WHERE sess #>> '{passport,user}' = $1", [id])
  }
}

/** Whether a change ends now, or waits for a lock that the held request has. */
async function endsNow(changing: Promise<void>): Promise<boolean> {
  const ended = changing.then(() => true)
  for (;;) {
    const first = await Promise.race([ended, new Promise<null>((resolve) => setTimeout(resolve, 10, null))])
    if (first) return true
    const { rowCount } = await server.pool.query('SELECT 1 FROM pg_locks WHERE NOT granted')
    if (rowCount) return false
  }
}

interface Race {
  readonly at: string
  readonly waited: boolean
  readonly violations: readonly string[]
}

async function race(bench: Bench, flow: Flow, at: number, name: string): Promise<Race> {
  const { app, stage, accounts } = bench
  stage.active = false
  accounts.users.clear()
  fake.reset()
  app.events.length = 0
  await others.query('TRUNCATE users, identities, email_confirmations, session')
  const browser = new TestBrowser()
  const send = await flow.prepare(bench, browser)
  let changing = Promise.resolve()
  let waited = false
  let suspendedWithout: string[] = []
  stage.begin(at, async () => {
    changing = change(name)
    waited = !(await endsNow(changing))
    if (waited) stage.afterCommit = changing
    else suspendedWithout = await suspendedUsers('NOT EXISTS')
  })
  const answer = await send()
  stage.active = false
  await changing
  const point = `${name} ${stage.points[at]?.split('\n')[0]?.slice(0, 60)}`
  return { at: point, waited, violations: await violationsOf(bench, flow, answer, suspendedWithout) }
}

/** Suspended users who have an identity (`EXISTS`), or none. */
async function suspendedUsers(having: 'EXISTS' | 'NOT EXISTS'): Promise<string[]> {
  const sql = `SELECT id FROM users WHERE suspended AND ${having} (SELECT 1 FROM identities WHERE user_id = users.id)`
  return (await others.query(sql)).rows.map(({ id }) => id)
}

async function violationsOf(
  { app }: Bench,
  { heldBy }: Flow,
  { status }: Answer,
  suspendedWithout: readonly string[],
): Promise<string[]> {
  const sql = `SELECT sess #>> '{passport,user}' AS id, users.id IS NULL AS deleted, suspended, identities.user_id AS owner
    FROM session LEFT JOIN users ON users.id::text = sess #>> '{passport,user}'
    LEFT JOIN identities ON subject = $1 WHERE sess #>> '{passport,user}' IS NOT NULL`
  const { rows } = await others.query(sql, [alice().id])
  const violations: string[] = rows.flatMap(({ id, deleted, suspended, owner }) => {
    if (deleted) return 'a session of a deleted user'
    if (suspended) return 'a session of a suspended user'
    if (heldBy === 'member') return 'a session that was ended'
    return owner === id ? [] : 'a session without the identity'
  })
  const linked = await suspendedUsers('EXISTS')
  if (suspendedWithout.some((id) => linked.includes(id))) violations.push('linked to a user who was suspended before')
  if (status >= 400 && app.events.some(({ type }) => type === 'signed_in')) violations.push('a false success')
  return violations
}

/** Every query of a flow with each of these changes. */
async function races(bench: Bench, name: string, changes = changesOf(name)) {
  const flow = FLOWS[name] as Flow
  await race(bench, flow, -1, 'none')
  const queries = bench.stage.points.length
  const found: Race[] = []
  for (let at = 0; at < queries; at++) {
    for (const each of changes) found.push(await race(bench, flow, at, each))
  }
  return { queries, found }
}

const failing = (found: readonly Race[]) =>
  found.filter(({ violations }) => violations.length > 0).map(({ at, violations }) => `${at}: ${violations}`)

describe('a change at every query leaves no unjustified session or identity', () => {
  test.each(Object.keys(FLOWS))('%s', { timeout: 120_000 }, async (name) => {
    const bench = await startBench([], FLOWS[name]?.options)
    try {
      const { queries, found } = await races(bench, name)
      const waited = found.filter((each) => each.waited).length
      console.info(
        `${name}: ${queries} queries x ${changesOf(name).length} changes, ${found.length} races, ${waited} changes waited for a lock`,
      )
      expect(failing(found)).toEqual([])
      expect(queries).toBeGreaterThan(3)
    } finally {
      await bench.app.close()
    }
  })

  test.each([
    ['the user is not judged again inside the transaction', 'if (!user || user.suspended) throw', 'if (!user) throw'],
    ['the user is judged without a lock', 'WHERE id = $1 FOR UPDATE', 'WHERE id = $1'],
  ])('finds a planted fault: %s', { timeout: 120_000 }, async (_fault, find, replace) => {
    const bench = await startBench([{ file: 'accounts', find, replace }])
    try {
      const { found } = await races(bench, 'link', ['suspended'])
      expect(failing(found).join('\n')).toContain('linked to a user who was suspended before')
    } finally {
      await bench.app.close()
    }
  })
})
