import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  type AccountHooks,
  EmailTakenError,
  type HookInput,
  type Identity,
  IdentityTakenError,
  type Profile,
} from 'passport-bitbucket-signin'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { accountHooks } from '../../recipes/pg/accounts'
import { claimAddress } from '../../recipes/pg/claim-address'
import { findChromium } from '../browser/chromium'
import { startPostgres, type TestPostgres } from '../support/postgres'
import { compile, compiled } from './compile'
import { blocksOf, read } from './documents'

const load = createRequire(join(process.cwd(), 'package.json'))
let folder: string
beforeAll(() => {
  const blocks = ['docs/testing.md', 'docs/production.md'].flatMap(blocksOf).filter(({ language }) => language === 'ts')
  folder = compile(blocks, 'guides').folder
})

describe('the tests of docs/testing.md', () => {
  const run = (name: string, env: Record<string, string> = {}) => {
    const file = compiled(folder, 'docs/testing.md', name)
    return promisify(execFile)(process.execPath, ['--test', file], { env: { ...process.env, ...env } })
  }

  it('pass with supertest', { timeout: 60_000 }, async () => {
    expect((await run('sign-in.test.mts')).stdout).toMatch(/pass 6/)
  })

  it('pass in a browser', { timeout: 60_000 }, async () => {
    // Users install `playwright`; here it is its core, with another Chromium.
    const shim = join(folder, 'node_modules/playwright')
    mkdirSync(shim, { recursive: true })
    const options = `{ executablePath: process.env.CHROMIUM, args: ['--headless', '--no-sandbox', '--disable-gpu'] }`
    const core = JSON.stringify(load.resolve('playwright-core'))
    writeFileSync(join(shim, 'package.json'), '{ "name": "playwright", "main": "index.js" }')
    const launch = `exports.chromium = { launch: () => require(${core}).chromium.launch(${options}) }`
    writeFileSync(join(shim, 'index.js'), launch)
    expect((await run('browser.test.mts', { CHROMIUM: await findChromium() })).stdout).toMatch(/pass 1/)
  })
})

describe('the recipe for pg', () => {
  interface User {
    id: string
    name: string
    email: string | null
    email_verified: boolean
    auto_link: boolean
  }

  let postgres: TestPostgres
  let pool: {
    query(sql: string, values?: unknown[]): Promise<{ rows: unknown[] }>
    on(event: string, listener: () => void): void
    end(): Promise<void>
  }
  let hooks: Required<AccountHooks<User>>
  beforeAll(async () => {
    postgres = await startPostgres()
    pool = new (load('pg').Pool)({ connectionString: postgres.url })
    pool.on('error', () => {})
    for (const file of ['users', 'schema']) await pool.query(read(`recipes/pg/${file}.sql`))
    hooks = accountHooks(pool as never) as typeof hooks
  })
  afterAll(async () => {
    await pool?.end()
    await postgres?.stop()
  })
  beforeEach(async () => {
    await pool.query('TRUNCATE users, identities, session CASCADE')
  })

  const input = {} as HookInput
  const identity: Identity = { issuer: 'https://bitbucket.org', id: '{11111111-1111-4111-8111-111111111111}' }
  const profile = { displayName: 'Alice', nickname: 'al', username: 'alice', avatarUrl: null } as Profile
  const email = { address: 'Alice@example.com', verified: true, verifiedBy: 'code' } as const
  const other: Identity = { issuer: 'https://gateway.example', id: '{22222222-2222-4222-8222-222222222222}' }

  it('creates a user with the identity, and finds both again', async () => {
    const user = await hooks.createUser({ ...input, identity, profile, email })
    expect(await hooks.getUserByIdentity({ ...input, identity })).toEqual(user)
    expect(await hooks.getUserByIdentity({ ...input, identity: other })).toBeNull()
    expect(await hooks.getAccountsByEmail({ ...input, email: 'alice@EXAMPLE.com' })).toEqual([
      { user, email: 'Alice@example.com', emailVerified: true, autoLink: true },
    ])
    expect(await hooks.listIdentities({ ...input, user })).toEqual([{ ...identity, profile }])
    expect(hooks.describeUser({ ...input, user })).toMatchObject({ label: 'Alice', emailVerified: true })
  })

  it('lets one of two concurrent creations succeed, and leaves nothing of the other', async () => {
    const both = await Promise.allSettled(
      [1, 2].map(() => hooks.createUser({ ...input, identity, profile, email: null })),
    )
    const lost = both.filter((each) => each.status === 'rejected')
    expect(lost).toHaveLength(1)
    expect(lost[0]?.reason).toBeInstanceOf(IdentityTakenError)
    expect((await pool.query('SELECT * FROM users')).rows).toHaveLength(1)
  })

  it('refuses an address that another user has verified', async () => {
    await hooks.createUser({ ...input, identity, profile, email })
    const again = hooks.createUser({
      ...input,
      identity: other,
      profile,
      email: { ...email, address: 'alice@example.com' },
    })
    await expect(again).rejects.toBeInstanceOf(EmailTakenError)
  })

  it('case 26: stores one identity of an issuer per user, however many are linked concurrently', async () => {
    const user = await hooks.createUser({ ...input, identity, profile, email })
    const others = [3, 4].map((n) => ({ issuer: other.issuer, id: `{${n}}` }))
    const both = await Promise.allSettled(
      others.map((each) => hooks.linkIdentity({ ...input, user, identity: each, profile, email: null })),
    )
    const refused = both.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
    expect(refused).toEqual([expect.any(IdentityTakenError)])
    expect(await hooks.listIdentities({ ...input, user })).toHaveLength(2)
  })

  it('does not count an identity that no connection serves as a way in', async () => {
    const user = await hooks.createUser({ ...input, identity, profile, email })
    await hooks.linkIdentity({ ...input, user, identity: other, profile, email: null })
    expect(await hooks.unlinkIdentity({ ...input, user, identity, remaining: [] })).toBe('last')
  })

  it('keeps the last way in, and remembers an unlink', async () => {
    const user = await hooks.createUser({ ...input, identity, profile, email })
    expect(await hooks.unlinkIdentity({ ...input, user, identity, remaining: [] })).toBe('last')
    await hooks.linkIdentity({ ...input, user, identity: other, profile, email: null })
    const both = await Promise.all(
      [identity, other].map((each) =>
        hooks.unlinkIdentity({ ...input, user, identity: each, remaining: each === identity ? [other] : [identity] }),
      ),
    )
    expect(both.sort()).toEqual(['last', 'unlinked'])
    expect(await hooks.getAccountsByEmail({ ...input, email: email.address })).toMatchObject([{ autoLink: false }])
  })

  it('ends the other sessions of a user, and reads a user by id', async () => {
    const user = await hooks.createUser({ ...input, identity, profile, email })
    const [mine, others] = [user.id, '999'].map((id) => JSON.stringify({ passport: { user: id } }))
    const rows = 'INSERT INTO session (sid, sess, expire) VALUES ($1, $4, now()), ($2, $4, now()), ($3, $5, now())'
    await pool.query(rows, ['this', 'that', 'foreign', mine, others])
    await hooks.endOtherSessions({ ...input, user, req: { sessionID: 'this' } as never, reason: 'linked' })
    expect((await pool.query('SELECT sid FROM session ORDER BY sid')).rows).toEqual([
      { sid: 'foreign' },
      { sid: 'this' },
    ])
    expect(await hooks.getUserById({ ...input, id: user.id })).toEqual(user)
    expect(await hooks.getUserById({ ...input, id: '999' })).toBeNull()
  })

  it('claims an address for the user who proved it, and never takes it from an owner', async () => {
    const claim = claimAddress(pool as never)
    const add =
      "INSERT INTO users (name, email, email_verified) VALUES ('Mallory', 'alice@example.com', $1) RETURNING *"
    const squatter = (await pool.query(add, [false])).rows[0] as User
    const { user } = await claim({ ...input, holders: [squatter as never], identity, profile, email })
    expect(user).toMatchObject({ email: email.address, email_verified: true })
    expect(await hooks.getUserByIdentity({ ...input, identity })).toMatchObject({ id: user.id })
    expect(await hooks.getAccountsByEmail({ ...input, email: email.address })).toHaveLength(1)
    const again = claim({ ...input, holders: [user], identity: other, profile, email })
    await expect(again).rejects.toThrow('already taken')
    expect(await hooks.getAccountsByEmail({ ...input, email: email.address })).toMatchObject([
      { user: { id: user.id } },
    ])
  })

  it('counts with the limiter of docs/production.md, also concurrently', async () => {
    Object.assign(globalThis, { pool })
    const { createTable, limiter } = await import(compiled(folder, 'docs/production.md', 'limiter.ts'))
    await pool.query(createTable)
    const [counter, short] = [60, 0].map((duration) => limiter({ keyPrefix: `p${duration}`, points: 1, duration }))
    expect(await counter.get('a')).toBeNull()
    const counts = await Promise.all([1, 2, 3].map(() => counter.consume('a')))
    expect(counts.map(({ consumedPoints }) => consumedPoints).sort()).toEqual([1, 2, 3])
    expect(await counter.get('a')).toMatchObject({ consumedPoints: 3 })
    expect((await counter.get('a')).msBeforeNext).toBeGreaterThan(50_000)
    await short.consume('a')
    expect(await short.consume('a')).toMatchObject({ consumedPoints: 1 })
  })

  it('stores what changed upstream, and refuses suspended users', async () => {
    const user = await hooks.createUser({ ...input, identity, profile, email })
    const renamed = { ...profile, nickname: 'alicia' }
    await hooks.updateProfile({ ...input, user, identity, profile: renamed, changes: { nickname: 'alicia' } })
    expect(await hooks.listIdentities({ ...input, user })).toMatchObject([{ profile: { nickname: 'alicia' } }])
    expect(hooks.canSignIn({ ...input, user })).toBe(true)
    await pool.query('UPDATE users SET suspended = true')
    const suspended = (await hooks.getUserByIdentity({ ...input, identity })) as User
    expect(hooks.canSignIn({ ...input, user: suspended })).toBe('suspended')
  })
})

describe('the SQL of docs/migrate.md, on PostgreSQL', () => {
  it('moves rows that have the uuid, and lets a username be claimed once', { timeout: 60_000 }, async () => {
    const postgres = await startPostgres()
    const client = new (load('pg').Client)({ connectionString: postgres.url })
    client.on('error', () => {})
    await client.connect()
    try {
      await client.query(`CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        bitbucket_username text, bitbucket_uuid text, last_sign_in timestamptz DEFAULT now())`)
      await client.query(`INSERT INTO users (bitbucket_username, bitbucket_uuid)
        VALUES ('alice', '{11111111-1111-4111-8111-111111111111}'), ('bob', NULL), ('carol', NULL)`)
      await client.query("UPDATE users SET last_sign_in = now() - interval '1 year' WHERE bitbucket_username = 'carol'")
      const [table = '', move = '', freeze = '', claim = '', drop = ''] = blocksOf('docs/migrate.md')
        .filter(({ language }) => language === 'sql')
        .map(({ text }) => text)
      await client.query(table)
      await client.query(move)
      await client.query(freeze)
      const claimed = async (username: string, uuid: string) => (await client.query(claim, [username, uuid])).rows
      expect(await claimed('BOB', '{b}')).toEqual([{ user_id: '2' }])
      expect(await claimed('bob', '{b2}')).toEqual([])
      expect(await claimed('carol', '{c}')).toEqual([])
      expect(await claimed('nobody', '{n}')).toEqual([])
      await client.query(drop)
      expect((await client.query('SELECT subject, user_id FROM identities ORDER BY user_id')).rows).toEqual([
        { subject: '{11111111-1111-4111-8111-111111111111}', user_id: '1' },
        { subject: '{b}', user_id: '2' },
      ])
    } finally {
      await client.end()
      await postgres.stop()
    }
  })
})
