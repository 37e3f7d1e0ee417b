import { FAKE_CLIENT, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { get, requestToken, send, tokenOf } from './client'

let fake: FakeBitbucket
let clockMs = Date.now()
beforeAll(async () => {
  fake = await startFakeBitbucket({ now: () => clockMs })
})
afterEach(() => fake.reset())
afterAll(() => fake.close())

describe('/2.0/user', () => {
  it('describes the person, with braces around the uuid and links as objects', async () => {
    const answer = await get(fake, '/user', await tokenOf(fake, 'alice'))
    expect(answer.status).toBe(200)
    const alice = fake.person('alice')
    const body = answer.json()
    expect(body).toMatchObject({
      type: 'user',
      uuid: alice.uuid,
      account_id: alice.accountId,
      username: 'alice',
      nickname: 'alice',
      display_name: 'Alice Archer',
      account_status: 'active',
      has_2fa_enabled: null,
    })
    expect(body.uuid).toMatch(/^\{[0-9a-f-]{36}\}$/)
    expect(body.links.self.href).toBe(`${fake.url}/2.0/users/${encodeURIComponent(alice.uuid)}`)
    expect(JSON.stringify(body)).not.toContain('@')
  })

  it('works with a trailing slash', async () => {
    expect((await get(fake, '/user/', await tokenOf(fake, 'alice'))).status).toBe(200)
  })

  it('leaves out a username and a picture that the user does not have', async () => {
    const body = (await get(fake, '/user', await tokenOf(fake, 'grace'))).json()
    expect(body).not.toHaveProperty('username')
    expect(body.links).not.toHaveProperty('avatar')
  })

  it('links to a picture that the fake draws itself', async () => {
    fake.addPerson({ key: 'zoë', displayName: '<Zoë Ångström' })
    const body = (await get(fake, '/user', await tokenOf(fake, 'zoë'))).json()
    const picture = await send(body.links.avatar.href)
    expect(picture.status).toBe(200)
    expect(picture.headers['content-type']).toBe('image/svg+xml')
    expect(picture.text).toContain('&lt;Å</text>')
  })

  it('returns links as lists with the switch', async () => {
    fake.setBehaviour({ links: 'array' })
    const body = (await get(fake, '/user', await tokenOf(fake, 'alice'))).json()
    expect(body.links.avatar).toEqual([{ href: `${fake.url}/account/alice/avatar` }])
  })

  it('shows a rename immediately, also to existing tokens', async () => {
    const token = await tokenOf(fake, 'alice')
    const { uuid } = fake.person('alice')
    fake.updatePerson('alice', { username: 'alicia', nickname: 'alicia', displayName: 'Alicia', avatarUrl: null })
    expect((await get(fake, '/user', token)).json()).toMatchObject({ uuid, username: 'alicia', display_name: 'Alicia' })
  })

  it('contains fields that the test adds', async () => {
    fake.updatePerson('alice', { user: { type: 'team', location: 'Oslo' } })
    expect((await get(fake, '/user', await tokenOf(fake, 'alice'))).json()).toMatchObject({
      type: 'team',
      location: 'Oslo',
    })
  })
})

describe('/2.0/user/emails', () => {
  const flagsOf = (body: { values: { email: string; is_primary: boolean; is_confirmed: boolean }[] }) =>
    body.values.map(({ email, is_primary, is_confirmed }) => [email, is_primary, is_confirmed])

  it.each([
    ['alice', [['alice@example.com', true, true]]],
    ['bob', [['bob@example.com', true, false]]],
    [
      'carol',
      [
        ['carol.private@example.org', false, true],
        ['carol@example.com', true, true],
        ['carol.typo@example.net', false, false],
      ],
    ],
    ['dave', []],
    [
      'frank',
      [
        ['frank@example.com', true, false],
        ['frank.second@example.org', false, true],
      ],
    ],
  ])('lists the addresses of %s, confirmed or not', async (person, expected) => {
    const body = (await get(fake, '/user/emails', await tokenOf(fake, person))).json()
    expect(flagsOf(body)).toEqual(expected)
    expect(body).not.toHaveProperty('next')
  })

  it('returns ten a page, with an absolute next', async () => {
    const token = await tokenOf(fake, 'erin')
    const first = (await get(fake, '/user/emails', token)).json()
    expect(first).toMatchObject({ page: 1, pagelen: 10, size: 12, next: `${fake.endpoints.apiURL}/user/emails?page=2` })
    expect(first.values).toHaveLength(10)
    expect(first.values.some((email: { is_primary: boolean }) => email.is_primary)).toBe(false)
    const second = (await get(fake, first.next, token)).json()
    expect(flagsOf(second)[1]).toEqual(['erin@example.com', true, true])
    expect(second).not.toHaveProperty('next')
  })

  it('returns as many as requested, between 10 and 100', async () => {
    const token = await tokenOf(fake, 'erin')
    expect((await get(fake, '/user/emails?pagelen=50', token)).json().values).toHaveLength(12)
    expect((await get(fake, '/user/emails?pagelen=1', token)).json().pagelen).toBe(10)
    expect((await get(fake, '/user/emails?pagelen=999', token)).json().pagelen).toBe(100)
    const next = new URL((await get(fake, '/user/emails?pagelen=10', token)).json().next)
    expect(Object.fromEntries(next.searchParams)).toEqual({ pagelen: '10', page: '2' })
  })
})

describe('workspaces', () => {
  it('are listed with the administrator flag, by slug, and filtered', async () => {
    fake.addPerson({ key: 'ivy', workspaces: [{ slug: 'zeta' }, { slug: 'acme', permission: 'owner' }] })
    const token = await tokenOf(fake, 'ivy')
    const slugs = async (query: string) =>
      (await get(fake, `/user/workspaces${query}`, token))
        .json()
        .values.map((access: { workspace: { slug: string } }) => access.workspace.slug)
    expect(await slugs('')).toEqual(['acme', 'zeta'])
    expect(await slugs('?sort=-slug')).toEqual(['zeta', 'acme'])
    expect(await slugs('?administrator=true')).toEqual(['acme'])
    expect(await slugs('?administrator=false')).toEqual(['zeta'])
  })

  it.each([
    ['slug', () => 'acme'],
    ['uuid', () => encodeURIComponent(fake.person('alice').workspaces[0]?.uuid ?? '')],
  ])('show a member the permission, by %s', async (_what, workspace) => {
    const answer = await get(fake, `/user/workspaces/${workspace()}/permission`, await tokenOf(fake, 'alice'))
    expect(answer.json()).toMatchObject({
      type: 'workspace_membership',
      permission: 'owner',
      user: { uuid: fake.person('alice').uuid },
      workspace: { slug: 'acme', uuid: fake.person('bob').workspaces[0]?.uuid },
    })
  })

  it('answer 403 to everybody else, whether they exist or not', async () => {
    const token = await tokenOf(fake, 'carol')
    for (const workspace of ['acme', 'nowhere']) {
      const answer = await get(fake, `/user/workspaces/${workspace}/permission`, token)
      expect(answer.status).toBe(403)
      expect(answer.json().type).toBe('error')
    }
  })
})

describe('a token', () => {
  it.each([
    ['no header', undefined],
    ['another scheme', (token: string) => `Basic ${token}`],
    ['bearer in lower case', (token: string) => `bearer ${token}`],
    ['an unknown token', () => 'Bearer unknown'],
    ['an empty token', () => 'Bearer '],
    ['a shortened token', (token: string) => `Bearer ${token.slice(0, -1)}`],
  ])('is refused with %s', async (_what, header) => {
    const token = await tokenOf(fake, 'alice')
    const answer = await send(`${fake.endpoints.apiURL}/user`, {
      headers: header ? { authorization: header(token) } : {},
    })
    expect(answer.status).toBe(401)
    expect(answer.headers['www-authenticate']).toBe('OAuth realm="Bitbucket.org HTTP"')
    expect(JSON.parse(answer.text)).toEqual({
      type: 'error',
      error: { message: 'Token is invalid, expired, or not supported for this endpoint.' },
    })
  })

  it('is refused in the query, and accepted with the switch "lenient", in any case', async () => {
    const token = await tokenOf(fake, 'alice')
    const inQuery = `${fake.endpoints.apiURL}/user?access_token=${token}`
    expect((await send(inQuery)).status).toBe(401)
    fake.setBehaviour({ bearer: 'lenient' })
    expect((await send(inQuery)).status).toBe(200)
    const headers = { authorization: `bearer ${token}` }
    expect((await send(`${fake.endpoints.apiURL}/user`, { headers })).status).toBe(200)
  })

  it('expires after two hours, and says so', async () => {
    const token = await tokenOf(fake, 'alice')
    clockMs += 7201 * 1000
    const answer = await get(fake, '/user', token)
    expect(answer.status).toBe(401)
    expect(answer.json().error.message).toMatch(/^Access token expired\./)
  })

  it('is revoked with its user', async () => {
    const token = await tokenOf(fake, 'alice')
    fake.removePerson('alice')
    expect((await get(fake, '/user', token)).status).toBe(401)
  })

  it('lists its scopes in a header, separated by commas', async () => {
    const { headers } = await get(fake, '/user', await tokenOf(fake, 'alice'))
    expect(headers['x-oauth-scopes']).toBe('account, email')
    expect(headers['x-accepted-oauth-scopes']).toBe('account')
  })

  it('gets no rate-limit headers, unless the switch says so', async () => {
    const token = await tokenOf(fake, 'alice')
    expect((await get(fake, '/user', token)).headers).not.toHaveProperty('x-ratelimit-limit')
    fake.setBehaviour({ rateHeaders: 'anonymous' })
    expect((await get(fake, '/user', token)).headers['x-ratelimit-limit']).toBe('60, 60;w=3600')
  })
})

describe('scopes', () => {
  it('that are missing cause 403 with what was needed and what was there', async () => {
    const answer = await get(fake, '/user', await tokenOf(fake, 'alice', 'email'))
    expect(answer.status).toBe(403)
    expect(answer.json()).toEqual({
      type: 'error',
      error: {
        message: 'Your credentials lack one or more required privilege scopes.',
        detail: { required: ['account'], granted: ['email'] },
      },
    })
  })

  it('open the addresses with account alone, unless the switch says no', async () => {
    const token = await tokenOf(fake, 'alice', 'account')
    expect((await get(fake, '/user/emails', token)).status).toBe(200)
    fake.setBehaviour({ accountGivesEmails: false })
    const answer = await get(fake, '/user/emails', token)
    expect(answer.status).toBe(403)
    expect(answer.json().error.detail).toEqual({ required: ['email'], granted: ['account'] })
  })

  it('open nothing for a client without any', async () => {
    fake.addClient({ ...FAKE_CLIENT, scopes: [] })
    expect((await get(fake, '/user', await tokenOf(fake, 'alice'))).status).toBe(403)
  })
})

describe('other URLs', () => {
  it.each(['/workspaces', '/user/permissions/workspaces', '/user/permissions/repositories', '/teams'])(
    '%s answers 410 with the announcement inside and next to the error',
    async (path) => {
      const answer = await get(fake, `${path}?role=member`, 'any')
      expect(answer.status).toBe(410)
      const { error, data } = answer.json()
      expect(error.message).toMatch(/^CHANGE-2770 /)
      expect(error.data).toEqual(data)
    },
  )

  it.each([
    '/users/alice',
    '/workspaces/acme',
    '/user/emails/alice@example.com',
    '/user/workspaces/%E0%A4/permission',
    '/nonsense',
    '',
    '/',
  ])('%s answers 404 in JSON', async (path) => {
    const answer = await get(fake, path, await tokenOf(fake, 'alice'))
    expect(answer.status).toBe(404)
    expect(answer.json().error.message).toBe('Resource not found')
  })

  it('accept GET and HEAD only', async () => {
    const headers = { authorization: `Bearer ${await tokenOf(fake, 'alice')}` }
    const url = `${fake.endpoints.apiURL}/user`
    const refused = await send(url, { method: 'DELETE', headers })
    expect([refused.status, refused.headers.allow]).toEqual([405, 'GET, HEAD'])
    const head = await send(url, { method: 'HEAD', headers })
    expect([head.status, head.text]).toEqual([200, ''])
  })

  it('that exist elsewhere only do not answer: revocation, discovery, the old API', async () => {
    for (const path of [
      '/site/oauth2/revoke',
      '/.well-known/openid-configuration',
      '/api/2.0/user',
      '/!api/2.0/user',
    ]) {
      expect((await send(fake.url + path)).status).toBe(404)
    }
    expect((await requestToken(fake, { grant_type: 'password' })).json().error).toBe('invalid_grant')
  })
})
