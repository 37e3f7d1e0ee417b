import { createHash } from 'node:crypto'
import type { BitbucketSignIn, Tokens } from 'passport-bitbucket-signin'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'
import { startPostgres, type TestPostgres } from '../support/postgres'
import { accessTokenOf, createTable, saveTokens } from './stored-tokens'

type Client = Parameters<typeof accessTokenOf>[0]

let postgres: TestPostgres
let fake: FakeBitbucket
/** Two processes: each with a plugin of its own, and clients of the database of its own. */
let processes: { app: TestApp; clients: Client[] }[]

beforeAll(async () => {
  ;[postgres, fake] = await Promise.all([startPostgres(), startFakeBitbucket()])
  const app = () => startTestApp({ fake, connection: { callbackURL: 'http://127.0.0.1:4000/auth/bitbucket/callback' } })
  processes = await Promise.all(
    [0, 1].map(async () => ({ app: await app(), clients: await Promise.all([0, 1, 2].map(postgres.connect)) })),
  )
  await client().query(createTable)
})
afterAll(async () => {
  await Promise.all((processes ?? []).map(({ app }) => app.close()))
  await postgres?.stop()
  await fake?.close()
})
beforeEach(async () => {
  fake.reset()
  await client().query('TRUNCATE bitbucket_tokens')
})

const client = () => processes[0]?.clients[0] as Client

/** A person's tokens as a sign-in brings them, and when they are said to run out. */
async function stored(expiresAt: Date | null): Promise<Tokens> {
  const { app } = processes[0] as { app: TestApp }
  const browser = new TestBrowser()
  const callback = await fake.signIn(await app.start(browser), { person: 'alice' })
  await browser.get(callback.replace('http://127.0.0.1:4000', app.url))
  const tokens = [...app.accounts.tokens.values()].at(-1) as Tokens
  await saveTokens(client(), 'alice', null, { ...tokens, expiresAt })
  fake.clearRequests()
  return tokens
}

/** All clients of both processes concurrently. */
function everywhere<T>(work: (client: Client, bitbucket: BitbucketSignIn) => Promise<T>): Promise<T[]> {
  return Promise.all(processes.flatMap(({ app, clients }) => clients.map((each) => work(each, app.bitbucket))))
}
const rows = async () => (await client().query('SELECT * FROM bitbucket_tokens ORDER BY user_id')).rows
const row = async () => (await client().query('SELECT * FROM bitbucket_tokens')).rows[0]
/** Lets so many minutes pass, as far as the rows know. */
const later = (minutes: number) =>
  client().query(
    `UPDATE bitbucket_tokens SET expires_at = expires_at - $1::interval, accepted_at = accepted_at - $1::interval,
       refused_at = refused_at - $1::interval`,
    [`${minutes} minutes`],
  )
const copyRow = (userId: string, refreshToken: string) =>
  client().query(
    `INSERT INTO bitbucket_tokens (user_id, access_token, refresh_token, expires_at)
       SELECT $1, access_token, $2, expires_at FROM bitbucket_tokens LIMIT 1`,
    [userId, refreshToken],
  )
const hashOf = (id: string, round: number) => createHash('sha256').update(`${id} ${round}`).digest('hex')
const PAST = new Date(Date.now() - 1000)

describe('a row lock in PostgreSQL', () => {
  test('lets two processes refresh once, and gives all six calls the new token', async () => {
    fake.setBehaviour({ refreshGraceSeconds: 0 })
    const old = await stored(PAST)
    fake.script('token', { delayMs: 50 })
    const tokens = await everywhere((each, bitbucket) => accessTokenOf(each, bitbucket, 'alice'))
    expect(fake.count('token')).toBe(1)
    expect(new Set(tokens).size).toBe(1)
    expect(tokens[0]).not.toBe(old.accessToken)
    expect(await row()).toMatchObject({ access_token: tokens[0] })
    expect((await row())?.refresh_token).not.toBe(old.refreshToken)
  })

  test('control: without it a second process uses the token that the first one has spent', async () => {
    fake.setBehaviour({ refreshGraceSeconds: 0 })
    const { refreshToken } = await stored(PAST)
    fake.script('token', { delayMs: 50 })
    const codes = await everywhere((_, bitbucket) =>
      bitbucket.refreshTokens({ refreshToken: refreshToken ?? '' }).then(
        () => 'refreshed',
        ({ code }) => code,
      ),
    )
    expect(fake.count('token')).toBe(2)
    expect([...codes].sort()).toEqual([...Array(3).fill('refresh_refused'), ...Array(3).fill('refreshed')])
  })

  test('uses a token that is valid for longer as it is', async () => {
    for (const expiresAt of [new Date(Date.now() + 120_000), null]) {
      const { accessToken } = await stored(expiresAt)
      expect(new Set(await everywhere((each, bitbucket) => accessTokenOf(each, bitbucket, 'alice')))).toEqual(
        new Set([accessToken]),
      )
      expect(fake.count()).toBe(0)
    }
  })

  test('tries a dead token once, marks it, and keeps it', async () => {
    const { refreshToken } = await stored(PAST)
    fake.script('token', { status: 400, json: { error: 'invalid_grant', error_description: 'Invalid refresh_token' } })
    const codes = await everywhere((each, bitbucket) =>
      accessTokenOf(each, bitbucket, 'alice').catch(({ code }) => code),
    )
    expect(new Set(codes)).toEqual(new Set(['reauthorization_required']))
    expect(fake.count('token')).toBe(1)
    expect(await row()).toMatchObject({ refresh_token: refreshToken, dead: true })
    fake.clearScripts()
    const again = await stored(PAST)
    expect(await row()).toMatchObject({ refresh_token: again.refreshToken, dead: false })
    const bitbucket = processes[0]?.app.bitbucket as BitbucketSignIn
    expect(await accessTokenOf(client(), bitbucket, 'alice')).toBeTruthy()
  })

  test('case 20: marks a refusal that may concern the client, waits, and clears the mark once a token is accepted', async () => {
    const { refreshToken } = await stored(PAST)
    fake.script('token', { status: 400, json: { error: 'unauthorized_client' } })
    const codes = await everywhere((each, bitbucket) =>
      accessTokenOf(each, bitbucket, 'alice').catch(({ code }) => code),
    )
    expect(new Set(codes)).toEqual(new Set(['refresh_refused']))
    expect(fake.count('token')).toBe(1)
    expect(await row()).toMatchObject({ refresh_token: refreshToken, dead: false, refusals: 1 })
    fake.clearScripts()
    const bitbucket = processes[0]?.app.bitbucket as BitbucketSignIn
    await expect(accessTokenOf(client(), bitbucket, 'alice')).rejects.toMatchObject({ code: 'refresh_refused' })
    await later(16)
    expect(await accessTokenOf(client(), bitbucket, 'alice')).toBeTruthy()
    expect(await row()).toMatchObject({ refused_at: null, refusals: 0, dead: false })
  })

  test('case 20: keeps every token when the client secret is wrong', async () => {
    await stored(PAST)
    for (const id of ['bob', 'carol']) await copyRow(id, `other-${id}`)
    fake.script('token', { status: 400, json: { error: 'unauthorized_client' } })
    const bitbucket = processes[0]?.app.bitbucket as BitbucketSignIn
    for (let round = 0; round < 4; round++) {
      for (const id of ['alice', 'bob', 'carol']) {
        await expect(accessTokenOf(client(), bitbucket, id)).rejects.toMatchObject({ code: 'refresh_refused' })
      }
      await later(24 * 60)
    }
    expect(fake.count('token')).toBe(12)
    expect((await rows()).map(({ dead }) => dead)).toEqual([false, false, false])
  })

  test('case 20: refreshes live tokens among many dead ones, and takes none for dead', async () => {
    const { accessToken } = await stored(PAST)
    await client().query('TRUNCATE bitbucket_tokens')
    const dead = Array.from({ length: 40 }, (_, at) => `dead-${at}`)
    const living = Array.from({ length: 5 }, (_, at) => `living-${at}`)
    for (const id of [...dead, ...living]) {
      await saveTokens(client(), id, null, { accessToken, refreshToken: id, expiresAt: PAST, scopes: null })
    }
    // A dead token locks the whole client out, until some time has passed.
    let isLocked = false
    fake.script('token', ({ form }) => {
      if (form.refresh_token?.startsWith('dead')) isLocked = true
      if (isLocked) return { status: 400, json: { error: 'unauthorized_client' } }
      const json = { access_token: accessToken, refresh_token: form.refresh_token, token_type: 'bearer', expires_in: 1 }
      return { json }
    })
    const bitbucket = processes[0]?.app.bitbucket as BitbucketSignIn
    const lastSuccess = new Map<string, number>()
    for (let round = 0; round < 24; round++) {
      // Another order each time.
      const order = [...dead, ...living].sort((a, b) => (hashOf(a, round) < hashOf(b, round) ? -1 : 1))
      for (const id of order) {
        const token = await accessTokenOf(client(), bitbucket, id).catch(({ code }) => code as string)
        if (token === accessToken) lastSuccess.set(id, round)
        else expect(['refresh_refused', 'reauthorization_required']).toContain(token)
        isLocked = isLocked && hashOf(id, round) > '8'
      }
      await later(16)
      isLocked = false
    }
    const found = await rows()
    expect(found.filter((each) => each.dead && !String(each.user_id).startsWith('dead'))).toEqual([])
    expect(found.filter((each) => each.dead).length).toBeGreaterThan(5)
    expect(found.every((each) => each.refresh_token === each.user_id)).toBe(true)
    for (const id of living) expect(lastSuccess.get(id)).toBeGreaterThan(12)
  })

  test('leaves the row as it is after a fault of Bitbucket', async () => {
    const { refreshToken } = await stored(PAST)
    fake.script('token', [{ status: 502 }])
    const [first] = processes
    const bitbucket = first?.app.bitbucket as BitbucketSignIn
    await expect(accessTokenOf(client(), bitbucket, 'alice')).rejects.toMatchObject({ code: 'upstream_failed' })
    expect(await row()).toMatchObject({ refresh_token: refreshToken })
    expect(await accessTokenOf(client(), bitbucket, 'alice')).toBeTruthy()
  })

  test('keeps the old refresh token if the answer has none, and returns none for an unknown user', async () => {
    const { refreshToken } = await stored(PAST)
    fake.script('token', { edit: ({ refresh_token: _, ...rest }) => rest })
    const bitbucket = processes[1]?.app.bitbucket as BitbucketSignIn
    expect(await accessTokenOf(client(), bitbucket, 'alice')).toBeTruthy()
    expect(await row()).toMatchObject({ refresh_token: refreshToken })
    await expect(accessTokenOf(client(), bitbucket, 'nobody')).rejects.toMatchObject({
      code: 'reauthorization_required',
    })
  })
})
