import { describe, expect, test } from 'vitest'
import { type ApiClient, type Exchange, exchangeCode, refreshTokens } from '../../src/bitbucket/exchange'
import { fetchPerson } from '../../src/bitbucket/fetch-person'
import type { UpstreamAnswer, UpstreamRequest } from '../../src/bitbucket/transport-parts'
import { BitbucketSignInError } from '../../src/contract/errors'
import { Secret } from '../../src/contract/secret'
import { ExchangeDeadline } from '../../src/time/deadline'

const ID = '{12345678-1234-4123-8123-123456789abc}'
const API = 'https://api.bitbucket.org/2.0'
const CLIENT: ApiClient = {
  clientID: 'client-id',
  clientSecret: new Secret('client-s3cret'),
  callbackURL: 'https://app.example/auth/bitbucket/callback',
  issuer: 'https://bitbucket.org',
  tokenURL: new URL('https://bitbucket.org/site/oauth2/access_token'),
  apiURL: API,
  workspaces: [],
}
const TOKEN = { access_token: 'T0ken', refresh_token: 'R3fresh', token_type: 'bearer', expires_in: 7200 }
const USER = { type: 'user', uuid: ID, display_name: 'Alice' }
const emailOf = (address: string) => ({ email: address, is_primary: false, is_confirmed: false })

type Reply = { status?: number; body?: unknown } | BitbucketSignInError

/** Stands in for the network and records the requests. */
function exchange(reply: (request: UpstreamRequest) => Reply | Promise<Reply>) {
  const requests: UpstreamRequest[] = []
  const timings: Exchange['timings'] = []
  const given: Exchange = {
    deadline: new ExchangeDeadline(5000, undefined),
    timings,
    transport: {
      preconnect: () => {},
      close: () => {},
      async request(request) {
        requests.push(request)
        const found = await reply(request)
        if (found instanceof BitbucketSignInError) throw found
        return { status: found.status ?? 200, body: found.body as UpstreamAnswer['body'], headers: {} }
      },
    },
  }
  return { given, requests, timings }
}

async function refused(work: Promise<unknown>): Promise<BitbucketSignInError> {
  const error = await work.then(
    () => 'resolved',
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof BitbucketSignInError)) throw new Error(`not a BitbucketSignInError: ${error}`)
  return error
}

describe('exchangeCode', () => {
  const redeem = (reply: Reply, params: Record<string, string> = {}) => {
    const { given, requests } = exchange(() => reply)
    return { work: exchangeCode(given, CLIENT, 'c0de', params), requests }
  }

  test('posts one form, with the secret in the Basic header only', async () => {
    const { work, requests } = redeem({ body: TOKEN }, { grant_type: 'authorization_code', code_verifier: 'v&1' })
    expect(await work).toMatchObject({ accessToken: 'T0ken', refreshToken: 'R3fresh', scopes: null })
    expect(requests).toHaveLength(1)
    const [request] = requests
    expect(request?.method).toBe('POST')
    expect(request?.url.href).toBe('https://bitbucket.org/site/oauth2/access_token')
    expect(request?.headers).toEqual({
      authorization: `Basic ${Buffer.from('client-id:client-s3cret').toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
    })
    expect(request?.body).toBe('grant_type=authorization_code&code_verifier=v%261&code=c0de')
  })

  test('does not let a parameter named code replace the code', async () => {
    const { work, requests } = redeem({ body: TOKEN }, { code: 'other' })
    await work
    expect(requests[0]?.body).toBe('code=c0de')
  })

  test('returns when the token expires', async () => {
    const { work } = redeem({ body: TOKEN })
    expect(Math.abs(((await work).expiresAt?.getTime() ?? 0) - Date.now() - 7_200_000)).toBeLessThan(2000)
    const { expires_in: _, ...without } = TOKEN
    expect((await redeem({ body: without }).work).expiresAt).toBeNull()
  })

  test.each([
    [400, { error: 'invalid_grant' }, 'upstream_failed'],
    [400, { error: 'unauthorized_client' }, 'client_rejected'],
    [401, { error: 'invalid_client' }, 'client_rejected'],
    [400, { error: 'invalid_request' }, 'client_rejected'],
    [400, { error: 'invalid_scope' }, 'scope_missing'],
    [429, { error: 'invalid_grant' }, 'rate_limited'],
    [429, undefined, 'rate_limited'],
    [500, undefined, 'upstream_failed'],
    [400, TOKEN, 'upstream_failed'],
    [201, TOKEN, 'upstream_failed'],
    [302, TOKEN, 'upstream_failed'],
    [200, undefined, 'upstream_failed'],
    [200, {}, 'upstream_failed'],
    [200, { error: 'invalid_grant' }, 'upstream_failed'],
    [200, { ...TOKEN, access_token: { a: 1 } }, 'upstream_failed'],
    [200, { ...TOKEN, access_token: 'a\r\nb' }, 'upstream_failed'],
  ])('maps status %i with %j to %s', async (status, body, code) => {
    const { work, requests } = redeem({ status, body })
    expect((await refused(work)).code).toBe(code)
    expect(requests).toHaveLength(1)
  })

  test('passes a fault on without retrying', async () => {
    const { work, requests } = redeem(new BitbucketSignInError('upstream_timeout', 'late'))
    expect((await refused(work)).code).toBe('upstream_timeout')
    expect(requests).toHaveLength(1)
  })

  test('reveals no word of the answer, no code and no secret in an error', async () => {
    const body = { error: 'invalid_grant', error_description: 'client-s3cret c0de upstream-words' }
    for (const status of [400, 401, 429, 500]) {
      const error = await refused(redeem({ status, body }).work)
      expect(`${error.stack}${JSON.stringify(error)}${error.cause}`).not.toMatch(/s3cret|c0de|upstream-words/)
    }
  })
})

describe('refreshTokens', () => {
  const refresh = (reply: Reply) => refreshTokens(exchange(() => reply).given, CLIENT, 'R3fresh')

  test('exchanges the refresh token', async () => {
    const { given, requests } = exchange(() => ({ body: { ...TOKEN, refresh_token: 'next' } }))
    expect((await refreshTokens(given, CLIENT, 'R3fresh')).refreshToken).toBe('next')
    expect(requests[0]?.body).toBe('grant_type=refresh_token&refresh_token=R3fresh')
  })

  const INVALID = 'Invalid refresh_token'

  test.each([
    [400, 'invalid_grant', INVALID],
    [400, 'invalid_grant', undefined],
    [401, 'invalid_grant', INVALID],
    [403, 'invalid_grant', 'Invalid authorization code'],
    [400, 'invalid_request', INVALID],
    [400, 'invalid_request', 'Invalid refresh token.'],
  ])('case 20: treats %i %s %j as a dead token', async (status, error, error_description) => {
    const body = { error, error_description }
    expect((await refused(refresh({ status, body }))).code).toBe('reauthorization_required')
  })

  test.each([400, 401, 403])('case 20: treats %i unauthorized_client as no verdict on the token', async (status) => {
    const error = await refused(
      refresh({
        status,
        body: { error: 'unauthorized_client', error_description: 'Invalid OAuth client credentials' },
      }),
    )
    expect(error).toMatchObject({ code: 'refresh_refused', status: 503 })
    expect(error.message).toMatch(/^refresh request: .*Keep the token and wait 15 minutes/)
  })

  test.each<[number, unknown, string]>([
    [400, { error: 'invalid_grant', error_description: 'Unsupported grant type: None' }, 'upstream_failed'],
    [400, { error: 'invalid_grant', error_description: 'The token was issued to another client.' }, 'upstream_failed'],
    [
      400,
      { error: 'invalid_request', error_description: 'No callback uri defined for the OAuth client.' },
      'client_rejected',
    ],
    [400, { error: 'invalid_request' }, 'client_rejected'],
    [400, { error: 'invalid_request', error_description: { text: INVALID } }, 'client_rejected'],
    [400, { error: 'unsupported_grant_type' }, 'upstream_failed'],
    [400, { error: ['invalid_grant'] }, 'upstream_failed'],
    [400, undefined, 'upstream_failed'],
    [404, undefined, 'upstream_failed'],
    [429, { error: 'invalid_grant' }, 'rate_limited'],
    [429, { error: 'unauthorized_client' }, 'rate_limited'],
    [500, { error: 'invalid_grant', error_description: INVALID }, 'upstream_failed'],
    [200, { error: 'invalid_grant', error_description: INVALID }, 'upstream_failed'],
  ])('case 20: treats %i %j as no verdict on the token', async (status, body, code) => {
    expect((await refused(refresh({ status, body }))).code).toBe(code)
  })

  test('keeps the meaning of other refusals', async () => {
    expect((await refused(refresh({ status: 429 }))).code).toBe('rate_limited')
    expect((await refused(refresh({ status: 500 }))).code).toBe('upstream_failed')
    expect((await refused(refresh({ status: 401, body: { error: 'invalid_client' } }))).code).toBe('client_rejected')
  })
})

describe('fetchPerson', () => {
  const endpointOf = ({ url }: UpstreamRequest) => url.pathname.replace('/2.0/', '')
  /** Replies by path; `user` and `user/emails` have sound defaults. */
  const person = (replies: Record<string, (request: UpstreamRequest) => Reply>, client: Partial<ApiClient> = {}) => {
    const all = { user: () => ({ body: USER }), 'user/emails': () => ({ body: { values: [] } }), ...replies }
    const used = exchange((request) => {
      const reply = all[endpointOf(request) as keyof typeof all] as ((request: UpstreamRequest) => Reply) | undefined
      return reply ? reply(request) : { status: 404 }
    })
    return { ...used, work: fetchPerson(used.given, { ...CLIENT, ...client }, 'T0ken') }
  }

  test('sends all requests concurrently, with the token in the header only', async () => {
    const waiting: (() => void)[] = []
    const { given, requests } = exchange(async (request) => {
      await new Promise<void>((resolve) => waiting.push(resolve))
      if (endpointOf(request) === 'user') return { body: USER }
      return endpointOf(request) === 'user/emails' ? { body: { values: [] } } : { status: 404 }
    })
    const work = fetchPerson(given, { ...CLIENT, workspaces: ['acme', 'other'] }, 'T0ken')
    expect(requests.map(endpointOf)).toEqual([
      'user',
      'user/workspaces/acme/permission',
      'user/workspaces/other/permission',
      'user/emails',
    ])
    for (const release of waiting) release()
    await work
    for (const { method, url, headers, body } of requests) {
      expect({ method, headers, body }).toEqual({
        method: 'GET',
        headers: { authorization: 'Bearer T0ken' },
        body: undefined,
      })
      expect(url.href).not.toContain('T0ken')
      expect(url.origin).toBe('https://api.bitbucket.org')
    }
  })

  test('identifies by issuer and uuid, whatever names the profile contains', async () => {
    const { work } = person({ user: () => ({ body: { ...USER, username: 'admin', issuer: 'https://evil.example' } }) })
    expect((await work).identity).toEqual({ issuer: 'https://bitbucket.org', id: ID })
  })

  test.each([
    [{ ...USER, type: 'team' }, 'profile_invalid'],
    [{ ...USER, uuid: undefined }, 'profile_invalid'],
    [{}, 'profile_invalid'],
    [undefined, 'profile_invalid'],
  ])('maps status 200 with %j to %s', async (body, code) => {
    expect((await refused(person({ user: () => ({ body }) }).work)).code).toBe(code)
  })

  test.each([
    [401, 'upstream_failed'],
    [403, 'scope_missing'],
    [404, 'upstream_failed'],
    [429, 'rate_limited'],
    [500, 'upstream_failed'],
    [302, 'upstream_failed'],
  ])('maps status %i with a person in the body to %s', async (status, code) => {
    expect((await refused(person({ user: () => ({ status, body: USER }) }).work)).code).toBe(code)
  })

  test.each([
    [403, 'scope_missing'],
    [429, 'rate_limited'],
    [500, 'upstream_failed'],
  ])(
    'returns a failure of the addresses with %i as a value, because not every sign-in needs them',
    async (status, code) => {
      const found = await person({ 'user/emails': () => ({ status, body: { values: [emailOf('a@x.co')] } }) }).work
      expect(found.emailsFailed?.code).toBe(code)
      expect(found.profile.emails).toBeNull()
    },
  )

  test('reads addresses from all pages, or from none if one page fails', async () => {
    const page = ({ url }: UpstreamRequest): Reply => {
      const number = Number(url.searchParams.get('page') ?? 1)
      const next = number < 3 ? { next: `${API}/user/emails?page=${number + 1}` } : {}
      return { body: { values: [emailOf(`${number}@x.co`)], ...next } }
    }
    const found = await person({ 'user/emails': page }).work
    expect(found.profile.emails?.map(({ address }) => address)).toEqual(['1@x.co', '2@x.co', '3@x.co'])
    const failing = person({
      'user/emails': (request) => (request.url.searchParams.get('page') === '3' ? { status: 500 } : page(request)),
    })
    expect((await failing.work).profile.emails).toBeNull()
    expect((await failing.work).emailsFailed?.code).toBe('upstream_failed')
  })

  test('case 22: reads ten pages, and treats a longer list as unreadable', async () => {
    const pages = (last: number) =>
      person({
        'user/emails': ({ url }) => {
          const number = Number(url.searchParams.get('page') ?? 1)
          const next = number < last ? { next: `${API}/user/emails?page=${number + 1}` } : {}
          return { body: { values: [emailOf(`${number}@x.co`)], ...next } }
        },
      })
    const ten = pages(10)
    expect((await ten.work).profile.emails).toHaveLength(10)
    const eleven = pages(11)
    expect(await eleven.work).toMatchObject({ profile: { emails: null }, emailsFailed: { code: 'upstream_failed' } })
    expect(eleven.requests.filter((request) => endpointOf(request) === 'user/emails')).toHaveLength(10)
  })

  test.each([
    'https://evil.example/2.0/user/emails',
    'http://api.bitbucket.org/2.0/user/emails',
    'https://api.bitbucket.org:444/2.0/user/emails',
    'https://api.bitbucket.org.evil.example/',
    'https://api.bitbucket.org@evil.example/',
    'https://user:pass@api.bitbucket.org/2.0/user/emails',
    '//evil.example/',
    '/2.0/user/emails?page=2',
    'javascript:alert(1)',
    '',
    7,
    true,
    {},
    [`${API}/user/emails?page=2`],
  ])('case 22: sends no token to a next page at %j, and treats the list as unreadable', async (next) => {
    const { work, requests } = person({ 'user/emails': () => ({ body: { values: [emailOf('a@x.co')], next } }) })
    expect(await work).toMatchObject({ profile: { emails: null }, emailsFailed: { code: 'upstream_failed' } })
    expect(requests).toHaveLength(2)
  })

  test.each([{}, { values: {} }, { values: [null] }, { type: 'error', error: {} }, undefined])(
    'case 22: treats a list with %j as second page as unreadable',
    async (second) => {
      const first = { values: [{ ...emailOf('a@x.co'), is_confirmed: true }], next: `${API}/user/emails?page=2` }
      const { work } = person({ 'user/emails': ({ url }) => ({ body: url.search === '' ? first : second }) })
      expect(await work).toMatchObject({ profile: { emails: null }, emailsFailed: { code: 'upstream_failed' } })
    },
  )

  describe('the memberships', () => {
    const workspace = { slug: 'acme', uuid: '{00000000-1234-4123-8123-123456789abc}' }
    const membership = { type: 'workspace_membership', permission: 'owner', workspace, user: { uuid: ID } }
    const asked = (reply: Reply, workspaces = ['acme']) =>
      person({ [`user/workspaces/${encodeURIComponent(workspaces[0] ?? '')}/permission`]: () => reply }, { workspaces })
        .work

    test("accepts the user's own membership", async () => {
      expect((await asked({ body: membership })).workspaces).toEqual([{ ...workspace, permission: 'owner' }])
      expect((await asked({ body: membership }, [workspace.uuid])).workspaces).toHaveLength(1)
      expect((await asked({ body: { ...membership, user: undefined } })).workspaces).toHaveLength(1)
    })

    test.each(['owner', 'create-project', 'member'])(
      'accepts a membership with the permission %s',
      async (permission) => {
        const body = { ...membership, permission }
        expect((await asked({ body })).workspaces).toEqual([{ ...workspace, permission }])
      },
    )

    const scopes = (required: unknown, granted?: unknown) => ({
      status: 403,
      body: { type: 'error', error: { message: 'no', detail: { required, granted } } },
    })

    test.each<[string, Reply]>([
      ['403', { status: 403, body: { type: 'error' } }],
      ['403 with a membership', { status: 403, body: membership }],
      ['403 without a body', { status: 403 }],
      ['403 with a detail in words', { status: 403, body: { type: 'error', error: { detail: 'No access.' } } }],
      ['403 that names no scope', scopes([], ['account'])],
      ['403 that names scopes which were granted', scopes(['account'], ['account', 'email'])],
      ['an outside collaborator', { body: { ...membership, permission: 'collaborator' } }],
      ['404', { status: 404 }],
      ['404 with a membership', { status: 404, body: membership }],
    ])('case 19: treats %s as "not a member"', async (_what, reply) => {
      expect((await asked(reply)).workspaces).toEqual([])
    })

    const FAULTS: readonly [string, Reply, string][] = [
      ['a 403 that names a missing scope', scopes(['account'], ['email']), 'scope_missing'],
      ['a 403 that names a scope alone', scopes(['account']), 'scope_missing'],
      ['401', { status: 401 }, 'upstream_failed'],
      ['410', { status: 410 }, 'upstream_failed'],
      ['429', { status: 429 }, 'rate_limited'],
      ['503', { status: 503, body: membership }, 'upstream_failed'],
      ['a redirect', { status: 302, body: membership }, 'upstream_failed'],
      ['204', { status: 204 }, 'upstream_failed'],
      ['no body', {}, 'upstream_failed'],
      ['another type', { body: { ...membership, type: 'workspace' } }, 'upstream_failed'],
      ["another user's membership", { body: { ...membership, user: { uuid: workspace.uuid } } }, 'upstream_failed'],
      ['another workspace', { body: { ...membership, workspace: { ...workspace, slug: 'other' } } }, 'upstream_failed'],
      ['an unknown permission', { body: { ...membership, permission: 'none' } }, 'upstream_failed'],
      ['a permission in capitals', { body: { ...membership, permission: 'OWNER' } }, 'upstream_failed'],
      [
        "another user's outside access",
        { body: { ...membership, permission: 'collaborator', user: { uuid: workspace.uuid } } },
        'upstream_failed',
      ],
      ['no connection', new BitbucketSignInError('upstream_failed', 'no'), 'upstream_failed'],
      ['a timeout', new BitbucketSignInError('upstream_timeout', 'late'), 'upstream_timeout'],
    ]

    test.each(FAULTS)('case 19: treats %s as a fault', async (_what, reply, code) => {
      const error = await refused(asked(reply))
      expect(error.code).toBe(code)
      expect(error.message).toMatch(/^workspace request: /)
    })

    test.each(FAULTS)(
      'case 19: treats %s as a fault next to a refusal, and ignores it next to a membership',
      async (_w, reply, code) => {
        const path = (each: string) => `user/workspaces/${each}/permission`
        const workspaces = ['broken', 'acme']
        const beside = (other: Reply) =>
          person({ [path('broken')]: () => reply, [path('acme')]: () => other }, { workspaces }).work
        expect((await refused(beside({ status: 403 }))).code).toBe(code)
        expect((await beside({ body: membership })).workspaces).toEqual([{ ...workspace, permission: 'owner' }])
      },
    )
  })

  test('reports the duration and status of each request, failed ones included', async () => {
    const { work, timings } = person({ 'user/emails': () => new BitbucketSignInError('upstream_failed', 'no') })
    await work
    expect(timings).toEqual([
      expect.objectContaining({ endpoint: 'user', status: 200 }),
      expect.objectContaining({ endpoint: 'emails', status: null }),
    ])
    for (const { durationMs } of timings) expect(Number.isInteger(durationMs)).toBe(true)
  })
})
