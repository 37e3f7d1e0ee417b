import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AccountHooks } from '../../src/contract/hooks'
import type { Identity, Profile } from '../../src/contract/identity'
import { startPostgres, type TestPostgres } from '../support/postgres'
import { loadFromApp, openAppDatabase } from './built-app'

interface User {
  readonly id: string
  readonly name: string
  readonly email: string | null
  readonly emailVerified: boolean
  readonly hasPassword: boolean
}

describe.each(['SQLite', 'PostgreSQL'])('account hooks on %s', (kind) => {
  let directory: string
  let postgres: TestPostgres | undefined
  let hooks: Required<AccountHooks<User>>
  // biome-ignore lint/suspicious/noExplicitAny: Kysely of the example app
  let db: any

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hooks-'))
    postgres = kind === 'PostgreSQL' ? await startPostgres() : undefined
    const { Sealer } = await loadFromApp('seal.js')
    const { accountHooks } = await loadFromApp('accounts/hooks.js')
    db = await openAppDatabase({ dataDir: directory, databaseURL: postgres?.url })
    hooks = accountHooks(db, new Sealer(['s'.repeat(32)]))
  })
  afterAll(async () => {
    await db?.destroy()
    await postgres?.stop()
    await rm(directory, { recursive: true, force: true })
  })

  const context = {
    connection: 'default',
    tenant: null,
    application: null,
    origin: 'http://x',
    intent: 'sign-in',
    workspaces: [],
  }
  const input = { req: { sessionID: 'this-session' }, context } as never as Parameters<
    typeof hooks.getUserByIdentity
  >[0]

  /** A Bitbucket person nobody has seen before. */
  function person(name = 'Petra'): { identity: Identity; profile: Profile; address: string } {
    const id = `{${randomUUID()}}`
    const address = `${name}.${id.slice(1, 9)}@Example.com`
    const profile = {
      id,
      accountId: null,
      username: name,
      nickname: name,
      displayName: `${name} Person`,
      avatarUrl: null,
      profileUrl: null,
      emails: [],
    }
    return { identity: { issuer: 'https://bitbucket.org', id }, profile, address }
  }
  const verified = (address: string) => ({ address, verified: true, verifiedBy: 'code' }) as const
  const unverified = (address: string) => ({ address, verified: false, verifiedBy: null }) as const
  const create = ({ identity, profile, address }: ReturnType<typeof person>, proven = true) =>
    hooks.createUser({ ...input, identity, profile, email: proven ? verified(address) : unverified(address) })

  test('a created user is found by identity and by address in any case, and only by the exact identity', async () => {
    const petra = person()
    const user = await create(petra)
    expect(await hooks.getUserByIdentity({ ...input, identity: petra.identity })).toEqual(user)
    expect(
      await hooks.getUserByIdentity({ ...input, identity: { ...petra.identity, issuer: 'https://other' } }),
    ).toBeNull()
    const found = await hooks.getAccountsByEmail({ ...input, email: petra.address.toUpperCase() })
    expect(found).toEqual([{ user, email: petra.address, emailVerified: true, autoLink: true }])
    expect(await hooks.listIdentities({ ...input, user })).toMatchObject([
      { ...petra.identity, profile: { nickname: 'Petra' } },
    ])
  })

  test('users without an address do not share one', async () => {
    const { identity, profile } = person()
    await hooks.createUser({ ...input, identity, profile, email: null })
    await hooks.createUser({ ...input, ...person(), email: null })
    expect(await hooks.getAccountsByEmail({ ...input, email: '' })).toEqual([])
  })

  test('a second user for one identity fails with IdentityTakenError, for one address with EmailTakenError, and stores nothing', async () => {
    const [first, second] = [person(), person()]
    await create(first)
    await expect(create({ ...second, identity: first.identity })).rejects.toMatchObject({ name: 'IdentityTakenError' })
    await expect(create({ ...second, address: first.address.toLowerCase() })).rejects.toMatchObject({
      name: 'EmailTakenError',
    })
    expect(await hooks.getAccountsByEmail({ ...input, email: second.address })).toEqual([])
    expect(await hooks.getUserByIdentity({ ...input, identity: second.identity })).toBeNull()
  })

  test('of twenty concurrent creations of one user exactly one succeeds', async () => {
    const petra = person()
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => create(petra)))
    expect(results.filter((each) => each.status === 'fulfilled')).toHaveLength(1)
    const names = results.flatMap((each) => (each.status === 'rejected' ? [each.reason.name] : []))
    expect(names.filter((name) => name !== 'EmailTakenError' && name !== 'IdentityTakenError')).toEqual([])
    expect(await hooks.getAccountsByEmail({ ...input, email: petra.address })).toHaveLength(1)
  })

  test('linking an identity that is taken, or a second one to the same user, is refused', async () => {
    const [one, two, three] = [person(), person(), person()]
    await create(one)
    const user = await create(two)
    await expect(
      hooks.linkIdentity({ ...input, user, identity: one.identity, profile: one.profile, email: null }),
    ).rejects.toMatchObject({
      name: 'IdentityTakenError',
    })
    await expect(
      hooks.linkIdentity({ ...input, user, identity: three.identity, profile: three.profile, email: null }),
    ).rejects.toMatchObject({
      name: 'IdentityTakenError',
    })
  })

  test('claiming an address gives it to a new account and takes it from its unverified holder', async () => {
    const [stranger, owner] = [person('Stranger'), person('Owner')]
    const holder = await create(stranger, false)
    const soon = new Date(Date.now() + 60_000).toISOString()
    await db.updateTable('users').set({ password_hash: 'hash' }).where('id', '=', holder.id).execute()
    await db
      .insertInto('sessions')
      .values({ id: randomUUID(), user_id: holder.id, data: '{}', created_at: soon, expires_at: soon })
      .execute()
    await db
      .insertInto('codes')
      .values({
        id: randomUUID(),
        purpose: 'verify',
        email: 'x',
        user_id: holder.id,
        code_hash: '',
        attempts: 0,
        expires_at: soon,
      })
      .execute()

    const { identity, profile } = owner
    const claim = () =>
      hooks.claimAddress({ ...input, holders: [holder], identity, profile, email: verified(stranger.address) })
    const { user } = await claim()

    expect(user).toMatchObject({ name: 'Owner Person', emailVerified: true, hasPassword: false })
    expect(user.id).not.toBe(holder.id)
    expect(await hooks.getUserByIdentity({ ...input, identity })).toEqual(user)
    expect(await hooks.getUserByIdentity({ ...input, identity: stranger.identity })).toMatchObject({
      id: holder.id,
      email: null,
    })
    expect(await db.selectFrom('codes').selectAll().where('user_id', '=', holder.id).execute()).toEqual([])
    expect(await db.selectFrom('sessions').selectAll().where('user_id', '=', holder.id).execute()).toHaveLength(1)
    await hooks.endOtherSessions({ ...input, user: holder, reason: 'claimed' })
    expect(await db.selectFrom('sessions').selectAll().where('user_id', '=', holder.id).execute()).toEqual([])
    // Verified now: nobody claims it again.
    await expect(claim()).rejects.toMatchObject({ name: 'EmailTakenError' })
  })

  test('a claim that fails half way changes nothing', async () => {
    const [stranger, taken] = [person('Stranger'), person('Taken')]
    const holder = await create(stranger, false)
    await create(taken)
    const { identity, profile } = taken
    const claim = hooks.claimAddress({
      ...input,
      holders: [holder],
      identity,
      profile,
      email: verified(stranger.address),
    })
    await expect(claim).rejects.toMatchObject({ name: 'IdentityTakenError' })
    expect(await hooks.getUserByIdentity({ ...input, identity: stranger.identity })).toEqual(holder)
  })

  test('the last way in cannot be unlinked; with a password it can, and the address no longer links automatically', async () => {
    const petra = person()
    const user = await create(petra)
    const unlink = () => hooks.unlinkIdentity({ ...input, user, identity: petra.identity, remaining: [] })
    expect(await unlink()).toBe('last')
    await db.updateTable('users').set({ password_hash: 'hash' }).where('id', '=', user.id).execute()
    expect(await unlink()).toBe('unlinked')
    expect(await hooks.getUserByIdentity({ ...input, identity: petra.identity })).toBeNull()
    expect(await hooks.getAccountsByEmail({ ...input, email: petra.address })).toMatchObject([{ autoLink: false }])
  })

  test('tokens are stored sealed, the newest for each identity', async () => {
    const petra = person()
    const user = await create(petra)
    const tokens = {
      accessToken: 'a'.repeat(3000),
      refreshToken: 'r'.repeat(3000),
      expiresAt: new Date(),
      scopes: null,
    }
    for (const accessToken of ['first', 'second']) {
      await hooks.storeTokens({ ...input, user, identity: petra.identity, tokens: { ...tokens, accessToken } })
    }
    const rows = db.selectFrom('tokens').selectAll().where('provider_user_id', '=', petra.identity.id)
    const [row, ...more] = await rows.execute()
    expect(more).toEqual([])
    const { Sealer } = await loadFromApp('seal.js')
    expect(JSON.parse(new Sealer(['s'.repeat(32)]).open('tokens', row.sealed))).toMatchObject({ accessToken: 'second' })
    expect(new Sealer(['t'.repeat(32)]).open('tokens', row.sealed)).toBeNull()
    expect(new Sealer(['s'.repeat(32)]).open('client-secret', row.sealed)).toBeNull()
  })

  test('a session that was ended does not come back with a request that still writes it', async () => {
    const { SqlSessionStore, endSessions } = await loadFromApp('accounts/session-store.js')
    const user = await create(person())
    const store = new SqlSessionStore(db)
    const call = (method: string, ...args: unknown[]) =>
      new Promise<unknown>((resolve, reject) =>
        store[method](...args, (error: unknown, value: unknown) => (error ? reject(error) : resolve(value))),
      )
    const cookie = { expires: new Date(Date.now() + 3_600_000), originalMaxAge: 3_600_000 }
    await call('set', 'sid-1', { cookie, passport: { user: user.id } })
    const loaded = store.createSession({ sessionStore: store, sessionID: 'sid-1' }, await call('get', 'sid-1'))
    await endSessions(db, user.id)
    await call('set', 'sid-1', Object.assign(loaded, { visited: true }))
    expect(await call('get', 'sid-1')).toBeNull()
  })
})
