import { readFile } from 'node:fs/promises'
import { connections, type Tokens } from 'passport-bitbucket-signin'
import { afterEach, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'
import { atDeadline } from '../support/lab'

let app: TestApp
afterEach(() => app?.close())

/** Signs in and gives the tokens that the app stored. */
async function storedTokens(): Promise<Tokens & { readonly refreshToken: string }> {
  await app.signIn(new TestBrowser(), 'alice')
  const tokens = [...app.accounts.tokens.values()].at(-1)
  if (!tokens?.refreshToken) throw new Error('no tokens were stored')
  return { ...tokens, refreshToken: tokens.refreshToken }
}

describe('storeTokens', () => {
  test.each(['scope', 'scopes'] as const)(
    'receives tokens, their expiry and their scopes (field `%s`)',
    async (tokenFields) => {
      app = await startTestApp()
      app.fake.setBehaviour({ tokenFields })
      const before = Date.now()
      const tokens = await storedTokens()
      expect(tokens.accessToken.length).toBeGreaterThan(2500)
      expect(tokens.refreshToken.length).toBeGreaterThan(2500)
      expect(tokens.scopes).toEqual(['account', 'email'])
      expect(tokens.expiresAt?.getTime()).toBeGreaterThanOrEqual(before + 7200_000)
      expect(tokens.expiresAt?.getTime()).toBeLessThan(Date.now() + 7201_000)
      const me = await fetch(`${app.fake.endpoints.apiURL}/user`, {
        headers: { authorization: `Bearer ${tokens.accessToken}` },
      })
      expect(me.status).toBe(200)
    },
  )

  test('receives null for what Bitbucket does not say', async () => {
    app = await startTestApp()
    app.fake.script('token', { edit: ({ access_token, token_type }) => ({ access_token, token_type }) })
    await app.signIn(new TestBrowser(), 'alice')
    expect(app.accounts.tokens.get('u1')).toMatchObject({ refreshToken: null, expiresAt: null, scopes: null })
  })

  test('receives tokens also after a sign-in that had to wait, and nothing is kept until then', async () => {
    app = await startTestApp({ connection: { trustedProvider: false } })
    const browser = new TestBrowser()
    await app.signIn(browser, 'alice', { returnTo: '/x' })
    expect(app.accounts.count('storeTokens')).toBe(0)
    const { location } = await app.submit(browser, '/auth/bitbucket/email', '/email/verify', {
      code: app.mails[0]?.code ?? '',
    })
    expect(location).toBe('/auth/bitbucket?returnTo=%2Fx')
    const again = await browser.get(`${app.url}${location}`)
    const ended = await browser.get(await app.fake.signIn(again.location, { person: 'alice' }))
    expect(ended.location).toBe('/x')
    expect(app.accounts.tokens.get('u1')?.refreshToken).not.toBeNull()
    expect(app.mails).toHaveLength(1)
  })
})

describe('refreshTokens', () => {
  test('returns new tokens, and the used refresh token expires after its grace period', async () => {
    app = await startTestApp()
    app.fake.setBehaviour({ refreshGraceSeconds: 0 })
    const first = await storedTokens()
    const second = await app.bitbucket.refreshTokens({ refreshToken: first.refreshToken })
    expect(second.refreshToken).not.toBe(first.refreshToken)
    expect(second.accessToken).not.toBe(first.accessToken)
    expect(second.scopes).toEqual(['account', 'email'])
    expect(second.expiresAt).toBeInstanceOf(Date)
    const codes = {
      unauthorized_client: { code: 'refresh_refused', status: 503 },
      invalid_grant: { code: 'reauthorization_required', status: 401 },
    } as const
    for (const deadRefreshToken of ['unauthorized_client', 'invalid_grant'] as const) {
      app.fake.setBehaviour({ deadRefreshToken })
      const dead = await app.bitbucket.refreshTokens({ refreshToken: first.refreshToken }).catch((error) => error)
      expect(dead).toMatchObject(codes[deadRefreshToken])
      expect(`${dead.stack}${JSON.stringify(dead)}`).not.toContain(first.refreshToken.slice(0, 20))
    }
    await app.bitbucket.refreshTokens({ refreshToken: second.refreshToken ?? '' })
  })

  test('sends client credentials as Basic, and the token in the form', async () => {
    app = await startTestApp()
    const { refreshToken } = await storedTokens()
    app.fake.clearRequests()
    await app.bitbucket.refreshTokens({ refreshToken })
    const [request, ...more] = app.fake.requests
    expect(more).toEqual([])
    expect(request?.headers.authorization).toBe(`Basic ${btoa('fake-client-id:fake-client-secret')}`)
    expect(request?.form).toEqual({ grant_type: 'refresh_token', refresh_token: refreshToken })
  })

  test('sends one request for concurrent calls with the same token', async () => {
    app = await startTestApp()
    const first = await storedTokens()
    const other = await storedTokens()
    app.fake.clearRequests()
    app.fake.script('token', { delayMs: 30 })
    const refresh = ({ refreshToken }: { refreshToken: string }) => app.bitbucket.refreshTokens({ refreshToken })
    const all = await Promise.all([...Array.from({ length: 20 }, () => refresh(first)), refresh(other)])
    expect(app.fake.count('token')).toBe(2)
    expect(new Set(all.slice(0, 20).map(({ accessToken }) => accessToken)).size).toBe(1)
    expect(all[20]?.accessToken).not.toBe(all[0]?.accessToken)
    await refresh(first)
    expect(app.fake.count('token')).toBe(3)
  })

  test.each([
    ['502', { status: 502, html: '<h1>Bad gateway</h1>' }, 'upstream_failed'],
    ['429', { problem: 'rate-limited' as const }, 'rate_limited'],
    ['nothing in time', { delivery: 'stall' as const }, 'upstream_timeout'],
    ['a reset connection', { delivery: 'reset' as const }, 'upstream_failed'],
    ['an answer without a token', { json: {} }, 'upstream_failed'],
  ])(
    '%s is no verdict on the token: every waiting call fails, and the next one tries again',
    async (_, fault, code) => {
      app = await startTestApp()
      const { refreshToken } = await storedTokens()
      app.fake.clearRequests()
      app.fake.script('token', [fault])
      const refresh = () => app.bitbucket.refreshTokens({ refreshToken })
      const twice = () => Promise.all([refresh(), refresh()].map((each) => each.catch((error) => error.code)))
      const asked = () => app.fake.count('token') > 0
      const failed = await (code === 'upstream_timeout' ? atDeadline(twice, asked) : twice())
      expect(failed).toEqual([code, code])
      expect(app.fake.count('token')).toBe(1)
      expect((await refresh()).accessToken).toBeTruthy()
    },
  )

  test("uses a tenant's own client as it is stored now, also while the tenant is disabled", async () => {
    const rows: Record<string, object> = {
      acme: { clientID: 'acme-key', clientSecret: 'acme-secret', trustedProvider: true },
      inherits: {},
    }
    app = await startTestApp({
      options: { tenantClients: 'ours' },
      resolver: (defaults) =>
        connections({ default: defaults, tenants: (id) => rows[id] ?? null, tenant: () => 'acme' }),
    })
    const client = { clientID: 'acme-key', clientSecret: 'acme-secret', callbackURL: '*' }
    app.fake.addClient(client)
    const { refreshToken } = await storedTokens()
    const refresh = (input: object) => app.bitbucket.refreshTokens({ refreshToken, ...input }).catch(({ code }) => code)

    expect(await refresh({ tenant: 'acme' })).toHaveProperty('accessToken')
    app.fake.addClient({ ...client, clientSecret: 'rotated' })
    expect(await refresh({ tenant: 'acme' })).toBe('refresh_refused')
    rows.acme = { clientID: 'acme-key', clientSecret: 'rotated', enabled: false, applications: [] }
    expect(await refresh({ tenant: 'acme' })).toHaveProperty('accessToken')
    expect(await refresh({ tenant: 'inherits' })).toBe('refresh_refused')
    expect(await refresh({})).toBe('refresh_refused')
    expect(await refresh({ tenant: 'nobody' })).toBe('connection_unavailable')
    expect(await refresh({ tenant: '__proto__' })).toBe('connection_unavailable')
  })

  test('requires the connection when the resolver is your own function', async () => {
    app = await startTestApp({ resolver: (defaults) => () => defaults })
    const { refreshToken } = await storedTokens()
    await expect(app.bitbucket.refreshTokens({ refreshToken })).rejects.toThrow('`connection` is missing')
    const connection = {
      clientID: 'fake-client-id',
      clientSecret: 'fake-client-secret',
      callbackURL: `${app.url}/auth/bitbucket/callback`,
      endpoints: app.fake.endpoints,
    }
    expect(await app.bitbucket.refreshTokens({ refreshToken, connection })).toHaveProperty('accessToken')
    await expect(
      app.bitbucket.refreshTokens({ refreshToken, connection: { ...connection, clientID: '' } }),
    ).rejects.toThrow('`clientID`')
  })
})

test('is documented with exactly the code that is tested', async () => {
  const page = await readFile('docs/refreshing-tokens.md', 'utf8')
  const code = await readFile('test/connections/stored-tokens.ts', 'utf8')
  expect(/^```ts\n([\s\S]*?)\n```$/m.exec(page)?.[1]).toBe(code.trimEnd())
})
