import type { Connection } from 'passport-bitbucket-signin'
import { FAKE_CLIENT } from 'passport-bitbucket-signin/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'
import { refusalOf } from '../support/site'

let app: TestApp
afterEach(() => app?.close())

const ACME = '{470c176d-3574-44ea-bb41-89e8638bcca4}'

describe('scopes', () => {
  test.each([
    ['none given', undefined, 'account email'],
    ['an empty list', [], 'account email'],
    ['one text', 'repository pullrequest', 'account email repository pullrequest'],
    ['commas', 'repository,pullrequest', 'account email repository pullrequest'],
    ['a list', ['repository', 'pullrequest:write'], 'account email repository pullrequest:write'],
    ['the base ones and doubles', ['email', 'repository', 'account', 'repository'], 'account email repository'],
    ['false', false, null],
  ])('%s', async (_, scope, sent) => {
    app = await startTestApp({ connection: { ...(scope !== undefined && { scope }) } as Partial<Connection> })
    const location = new URL(await app.start(new TestBrowser()))
    expect(location.searchParams.get('scope')).toBe(sent)
  })

  test.each([[['repo sitory"']], ['a\u0000b'], [7], [true], [{}]])('refuses %j as a scope', async (scope) => {
    await expect(startTestApp({ connection: { scope } as never })).rejects.toThrow('`scope')
  })

  test('reports a scope that the client lacks as a setup error that names the boxes to tick', async () => {
    app = await startTestApp({ connection: { scope: ['repository'] } })
    const answer = await app.signIn(new TestBrowser(), 'alice')
    expect(refusalOf(answer)).toEqual({ status: 500, code: 'scope_missing' })
    expect(answer.text).not.toContain('beyond')
    expect(app.errors.map(({ message }) => message)).toEqual([
      expect.stringMatching(/tick Account: Read and Email, and the box of every extra scope\.$/),
    ])
    expect(app.fake.count('token')).toBe(0)
  })

  test('tells the operator of a client without Account: Read to tick it', async () => {
    app = await startTestApp({ connection: { scope: false } })
    app.fake.addClient({ ...FAKE_CLIENT, scopes: ['email'] })
    expect(refusalOf(await app.signIn(new TestBrowser(), 'alice'))).toEqual({ status: 500, code: 'scope_missing' })
    expect(app.errors[0]?.message).toContain('tick Account: Read')
    expect(app.accounts.calls).toEqual([])
  })

  test('tells the operator of a client without Account: Email to tick it, and still signs a known user in', async () => {
    app = await startTestApp({ connection: { scope: false } })
    await app.signIn(new TestBrowser(), 'alice')
    app.fake.addClient({ ...FAKE_CLIENT, scopes: ['account'] })
    app.fake.setBehaviour({ accountGivesEmails: false })
    const known = new TestBrowser()
    await app.signIn(known, 'alice')
    expect(await app.me(known)).toBe('u1')
    const stranger = await app.signIn(new TestBrowser(), 'carol')
    expect(stranger.location).toBe('/auth/bitbucket/email')
    expect(app.events.filter(({ type }) => type === 'scope_missing')).toHaveLength(2)
    expect(app.errors.map(({ code }) => code)).toEqual(['scope_missing', 'scope_missing'])
    expect(app.errors[0]?.message).toContain('tick Account: Email')
  })

  test('accepts Account alone where it opens the addresses', async () => {
    app = await startTestApp({ connection: { scope: false } })
    app.fake.addClient({ ...FAKE_CLIENT, scopes: ['account'] })
    await app.signIn(new TestBrowser(), 'alice')
    expect(app.accounts.users.get('u1')?.email).toBe('alice@example.com')
    expect(app.errors).toEqual([])
  })
})

describe('workspaces', () => {
  const gate = (workspaces: string[]) =>
    startTestApp({ connection: { workspaces, trustedProvider: true } }).then((started) => {
      app = started
      app.fake.updatePerson('alice', { workspaces: [{ slug: 'acme', uuid: ACME, permission: 'owner' }] })
    })

  test.each([
    ['its slug', ['acme']],
    ['its uuid', [ACME]],
    ['its slug in capitals', ['Acme']],
    ['its uuid in capitals', [ACME.toUpperCase()]],
    ['one of several', ['nobody', ACME, 'elsewhere']],
  ])('admits a member by %s, and shows hooks the membership', async (_, workspaces) => {
    await gate(workspaces)
    const browser = new TestBrowser()
    await app.signIn(browser, 'alice')
    expect(await app.me(browser)).toBe('u1')
    for (const { input } of app.accounts.calls) {
      expect((input.context as { workspaces: unknown }).workspaces).toEqual([
        { slug: 'acme', uuid: ACME, permission: 'owner' },
      ])
    }
    expect(app.fake.count('workspace')).toBe(workspaces.length)
  })

  test('requests each workspace once, in lower case', async () => {
    await gate(['Acme', 'acme', 'ACME'])
    await app.signIn(new TestBrowser(), 'alice')
    const asked = app.fake.requests.filter(({ endpoint }) => endpoint === 'workspace').map(({ path }) => path)
    expect(asked).toEqual(['/2.0/user/workspaces/acme/permission'])
  })

  test.each(['acme', 'ACME'])('shows a page to a user who is in none of them, and calls no hook: %s', async (slug) => {
    await gate([slug])
    const browser = new TestBrowser()
    const answer = await app.signIn(browser, 'carol')
    expect(refusalOf(answer)).toEqual({ status: 403, code: 'workspace_required' })
    expect(answer.text).toContain('Only members of certain Bitbucket workspaces')
    expect(app.accounts.calls).toEqual([])
    expect(app.mails).toEqual([])
    expect(await app.me(browser)).toBeNull()
  })

  test('refuses a user who has left the workspace since the last sign-in', async () => {
    await gate([ACME])
    await app.signIn(new TestBrowser(), 'alice')
    app.fake.updatePerson('alice', { workspaces: [] })
    expect(refusalOf(await app.signIn(new TestBrowser(), 'alice')).code).toBe('workspace_required')
  })

  test('applies to linking too', async () => {
    await gate(['acme'])
    const user = app.accounts.add({ email: 'local@example.com', emailVerified: true })
    const browser = new TestBrowser()
    await app.localSignIn(browser, user)
    const { location } = await app.submit(browser, '/auth/bitbucket/link', '/link')
    const answer = await browser.get(await app.fake.signIn(location, { person: 'carol' }))
    expect(refusalOf(answer).code).toBe('workspace_required')
    expect(user.identities).toEqual([])
  })

  test('case 19: admits a user with one confirmed membership, whatever else failed', async () => {
    await gate(['broken', 'acme'])
    const statuses = [503, 403, 410]
    app.fake.script('workspace', ({ path }) => (path.includes('broken') ? { status: statuses[0] ?? 500 } : null))
    for (; statuses.length > 0; statuses.shift()) {
      expect((await app.signIn(new TestBrowser(), 'alice')).location).toBe('/')
    }
  })

  test('puts a slug into the path as one segment, and refuses an invalid one at construction', async () => {
    for (const workspace of [
      'a/b',
      '../user',
      '',
      'a b',
      '{470c176d}',
      `{${'-'.repeat(36)}}`,
      'x'.repeat(129),
      'a?b',
      'é',
    ]) {
      await expect(startTestApp({ connection: { workspaces: [workspace] } })).rejects.toThrow('workspaces')
    }
    await gate([ACME])
    await app.signIn(new TestBrowser(), 'alice')
    const [asked] = app.fake.requests.filter(({ endpoint }) => endpoint === 'workspace')
    expect(asked?.path).toBe(`/2.0/user/workspaces/${encodeURIComponent(ACME)}/permission`)
  })

  test('refuses a pending sign-in once its workspace is no longer admitted', async () => {
    let workspaces: string[] | null = ['acme']
    app = await startTestApp({
      resolver: (defaults) => () => ({ ...defaults, trustedProvider: false, ...(workspaces && { workspaces }) }),
    })
    const browser = new TestBrowser()
    await app.signIn(browser, 'alice')
    const page = () => browser.get(`${app.url}/auth/bitbucket/email`)
    expect((await page()).status).toBe(200)
    workspaces = ['other']
    expect(refusalOf(await page())).toEqual({ status: 403, code: 'workspace_required' })
    const code = app.mails[0]?.code ?? ''
    const verified = await browser.post(`${app.url}/auth/bitbucket/email/verify`, { code })
    expect(refusalOf(verified)).toEqual({ status: 403, code: 'workspace_required' })
    workspaces = null
    await app.submit(browser, '/auth/bitbucket/email', '/email/verify', { code })
    expect(await app.me(browser)).toBe('u1')
  })
})
