import type { BitbucketSignIn, Tokens } from 'passport-bitbucket-signin'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'
import { startPostgres, type TestPostgres } from './postgres'
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

/** All clients of both processes at once. */
function everywhere<T>(work: (client: Client, bitbucket: BitbucketSignIn) => Promise<T>): Promise<T[]> {
  return Promise.all(processes.flatMap(({ app, clients }) => clients.map((each) => work(each, app.bitbucket))))
}
const row = async () => (await client().query('SELECT * FROM bitbucket_tokens')).rows[0]
const PAST = new Date(Date.now() - 1000)

describe('a row lock in PostgreSQL', () => {
  test('six calls of two processes refresh once, and all get the new token', async () => {
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

  test('the control: without it a second process uses the token that the first one has spent', async () => {
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
    expect([...codes].sort()).toEqual([...Array(3).fill('reauthorization_required'), ...Array(3).fill('refreshed')])
  })

  test('a token that is good for longer is used as it is', async () => {
    for (const expiresAt of [new Date(Date.now() + 120_000), null]) {
      const { accessToken } = await stored(expiresAt)
      expect(new Set(await everywhere((each, bitbucket) => accessTokenOf(each, bitbucket, 'alice')))).toEqual(
        new Set([accessToken]),
      )
      expect(fake.count()).toBe(0)
    }
  })

  test('a dead refresh token is tried once, and noted', async () => {
    await stored(PAST)
    fake.script('token', { status: 400, json: { error: 'unauthorized_client' } })
    const codes = await everywhere((each, bitbucket) =>
      accessTokenOf(each, bitbucket, 'alice').catch(({ code }) => code),
    )
    expect(new Set(codes)).toEqual(new Set(['reauthorization_required']))
    expect(fake.count('token')).toBe(1)
    expect(await row()).toMatchObject({ refresh_token: null })
  })

  test('a fault of Bitbucket leaves the row as it is', async () => {
    const { refreshToken } = await stored(PAST)
    fake.script('token', [{ status: 502 }])
    const [first] = processes
    const bitbucket = first?.app.bitbucket as BitbucketSignIn
    await expect(accessTokenOf(client(), bitbucket, 'alice')).rejects.toMatchObject({ code: 'upstream_failed' })
    expect(await row()).toMatchObject({ refresh_token: refreshToken })
    expect(await accessTokenOf(client(), bitbucket, 'alice')).toBeTruthy()
  })

  test('an answer without a refresh token keeps the old one, and an unknown person has none', async () => {
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
