import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ExampleApp, startExampleApp } from './app'
import { openAppDatabase } from './built-app'
import { Visitor } from './visitor'

let app: ExampleApp
beforeAll(async () => {
  app = await startExampleApp({ TRUST_PROXY: '1' })
})
afterAll(async () => {
  await app?.stop()
})

const ADMIN = { email: 'admin@corkboard.example', password: 'corkboard-demo' }

let networks = 0
async function signInAsAdmin(): Promise<Visitor> {
  const admin = new Visitor(app.url)
  // Tries are counted by network: each administrator comes from another one.
  await admin.visit('/sign-in', { form: ADMIN, headers: { 'X-Forwarded-For': `10.0.0.${++networks}` } })
  return admin
}

/** Changes the database behind the app's back. */
// biome-ignore lint/suspicious/noExplicitAny: typed in the app, not here
async function withDatabase(work: (db: any) => Promise<any>): Promise<any> {
  const db = await openAppDatabase(app)
  try {
    return await work(db)
  } finally {
    await db.destroy()
  }
}

const stored = (level: string) =>
  withDatabase(async (db) => {
    const row = await db.selectFrom('connections').selectAll().where('level', '=', level).executeTakeFirst()
    return row ? { settings: JSON.parse(row.settings), hasSecret: row.client_secret !== null } : null
  })

const store = (level: string, settings: string, client_secret: string | null = null) =>
  withDatabase((db) =>
    db
      .insertInto('connections')
      .values({ level, settings, client_secret, updated_at: new Date().toISOString() })
      // biome-ignore lint/suspicious/noExplicitAny: typed in the app, not here
      .onConflict((conflict: any) => conflict.column('level').doUpdateSet({ settings, client_secret }))
      .execute(),
  )

const age = (minutes: number) =>
  withDatabase(async (db) => {
    for (const { id, data } of await db.selectFrom('sessions').selectAll().execute()) {
      const aged = { ...JSON.parse(data), passwordAt: Date.now() - minutes * 60_000 }
      await db
        .updateTable('sessions')
        .set({ data: JSON.stringify(aged) })
        .where('id', '=', id)
        .execute()
    }
  })

const REFUSED: readonly [string, string, Record<string, string>][] = [
  ['a scope that is none', 'scope', { scopeChoice: 'own', scope: 'a"b' }],
  ['a workspace of another site', 'workspaces', { workspacesChoice: 'own', workspaces: 'https://example.com/acme' }],
  ['a workspace without the choice', 'workspaces', { workspacesChoice: '', workspaces: 'acme' }],
  ['a scope without the choice', 'scope', { scope: 'repository' }],
  ['applications without the choice', 'applications', { applicationsChoice: '', applications: 'desk' }],
  ['no application', 'applications', { applicationsChoice: 'own' }],
  ['no application and no choice', 'applications', { applicationsChoice: '' }],
  ['an unknown application', 'applications', { applicationsChoice: 'own', applications: 'billing' }],
  ['a secret without a client ID', 'clientSecret', { clientSecret: 'typed-secret' }],
  ['a client ID without a secret', 'clientID', { clientID: 'typed-id' }],
  ['a space inside a secret', 'clientSecret', { clientID: 'typed-id', clientSecret: 'typed secret' }],
  ['an invisible character in a client ID', 'clientID', { clientID: 'typed\u200bid', clientSecret: 'typed-secret' }],
  ['a domain of another site', 'callbackDomain', { callbackDomain: 'https://evil.example' }],
  ['an unknown status', 'Choose one of the options', { enabled: 'maybe' }],
]
test.each(REFUSED)(
  'case 28: refuses %s, names the field, keeps the input and saves nothing',
  async (_what, field, form) => {
    const admin = await signInAsAdmin()
    const before = await stored('acme')
    const page = await admin.send('/admin/bitbucket', { form: { level: 'acme', ...form } })
    expect(page.status).toBe(400)
    expect(page.text).toContain('Not saved')
    expect(page.text).toContain(field)
    for (const typed of [form.clientID, form.scope, form.workspaces].filter((each) => typeof each === 'string'))
      expect(page.text).toContain(`value="${typed.replaceAll('"', '&quot;')}"`)
    expect(page.text).not.toContain('typed-secret')
    expect(await stored('acme')).toEqual(before)
    expect((await admin.send('/admin/bitbucket?level=acme')).text).toContain('unsaved changes')
  },
)

test('case 28: trims pasted input, and reads the URL of a workspace as its name', async () => {
  const admin = await signInAsAdmin()
  const form = {
    ...{ level: 'acme', clientID: ' pasted-id\t', clientSecret: ' pasted-secret ' },
    ...{
      workspacesChoice: 'own',
      workspaces: 'https://bitbucket.org/acme/  https://bitbucket.org/%7Bab%7D/x'.slice(0, 28),
    },
  }
  expect((await admin.send('/admin/bitbucket', { form })).status).toBe(303)
  expect(await stored('acme')).toEqual({ settings: { clientID: 'pasted-id', workspaces: ['acme'] }, hasSecret: true })
  const shown = await admin.send('/admin/bitbucket?level=acme')
  expect(shown.text).toContain('Overridden')
  await admin.submit(shown, '/admin/bitbucket/reset')
  expect(await stored('acme')).toEqual({ settings: {}, hasSecret: false })
})

test('case 28: keeps the input, the secret too, when the sign-in is too old to save', async () => {
  const admin = await signInAsAdmin()
  await age(11)
  const asked = await admin.visit('/admin/bitbucket', {
    form: { level: 'globex', clientID: 'late-id', clientSecret: 'late-secret', signUp: 'false' },
  })
  expect(asked.text).toContain('Confirm that it is you')
  const back = await admin.submit(asked, '/sign-in', ADMIN)
  expect(back.text).toContain('value="late-id"')
  expect(back.text).toContain('unsaved changes')
  expect(back.text).not.toContain('late-secret')
  await admin.submit(back, '/admin/bitbucket', { clientID: 'late-id', signUp: 'false' })
  expect(await stored('globex')).toEqual({ settings: { clientID: 'late-id', signUp: false }, hasSecret: true })
})

test.each([
  ['no JSON', '{'],
  ['no object', '[]'],
  ['a wrong type', '{"workspaces":"acme"}'],
  ['a workspace that is none', '{"workspaces":["https://example.com/acme"]}'],
  ['a client without a readable secret', '{"clientID":"id"}', 'garbage'],
])('case 28: a stored row with %s disables its site only, and says so', async (_what, settings, secret?: string) => {
  const admin = await signInAsAdmin()
  await store('acme', settings, secret ?? null)
  const visitor = new Visitor(app.url)
  const acme = app.url.replace('localhost', 'acme.localhost')
  expect((await visitor.send(`${acme}/auth/bitbucket`)).status).toBe(404)
  expect((await visitor.send(`${acme}/sign-in`)).status).toBe(200)
  expect((await visitor.send('/auth/bitbucket')).status).toBe(302)
  const page = await admin.send('/admin/bitbucket?level=acme')
  expect(page.status).toBe(200)
  expect(page.text).toContain('stored settings are invalid')
  for (const path of ['/admin/connections', '/admin/bitbucket']) expect((await admin.send(path)).status).toBe(200)
  await store('acme', '{}')
  expect((await visitor.send(`${acme}/auth/bitbucket`)).status).toBe(302)
})

test('case 28: an invalid row for all sites offers nothing, and pages and passwords still work', async () => {
  const admin = await signInAsAdmin()
  await store('default', '{"workspaces":[7]}')
  expect((await new Visitor(app.url).send('/auth/bitbucket')).status).toBe(404)
  const page = await admin.send('/admin/bitbucket')
  expect(page.text).toContain('stored settings are invalid')
  // Old rows, from before addresses and scopes were checked, keep working.
  await store('default', '{"workspaces":["https://bitbucket.org/acme"],"scope":["a\\"b"]}')
  const begun = await new Visitor(app.url).send('/auth/bitbucket')
  expect(begun.headers.location).toContain('scope=account%20email&')
  await store('default', '{}')
})

test('case 28: Test reports that a disabled connection admits no user', async () => {
  const admin = await signInAsAdmin()
  await store('default', '{"enabled":false}')
  const page = await admin.submit(await admin.send('/admin/bitbucket'), '/admin/bitbucket/test')
  expect(page.text).toContain('No user can sign in with this connection')
  expect(page.text).toContain('“Disabled”')
  await store('default', '{"applications":[]}')
  expect((await admin.send('/admin/bitbucket')).text).toMatch(/<h1>Bitbucket <span class="badge warn">No application/)
  await store('default', '{}')
})

test('case 29: a stranger who guesses from many networks locks no user out', async () => {
  const email = ADMIN.email
  const owner = await signInAsAdmin()
  await owner.visit('/sign-out', { form: {} })
  const stranger = new Visitor(app.url)
  for (let request = 0; request < 105; request++) {
    const headers = { 'X-Forwarded-For': `203.0.113.${Math.floor(request / 10)}` }
    await stranger.send('/sign-in', { form: { email, password: 'wrong' }, headers })
  }
  const from = async (visitor: Visitor, ip: string, password: string) =>
    (await visitor.send('/sign-in', { form: { email, password }, headers: { 'X-Forwarded-For': ip } })).status
  // The owner on a new network; then in the usual browser, even on the stranger's network.
  expect(await from(new Visitor(app.url), '198.51.100.1', ADMIN.password)).toBe(303)
  expect(await from(owner, '203.0.113.1', ADMIN.password)).toBe(303)
  // Control: guessing has an end, and IPv6 addresses of one network count as one.
  const many = await Promise.all([1, 2, 3, 4].map((host) => from(stranger, `2001:db8::${host}`, 'wrong')))
  expect(many.sort()).toEqual([401, 401, 401, 429])
  expect(await from(stranger, '203.0.113.1', ADMIN.password)).toBe(429)
}, 60_000)

test('case 29: strangers who request codes do not stop the owner from getting one', async () => {
  const owner = await signInAsAdmin()
  await owner.visit('/sign-out', { form: {} })
  const form = { email: ADMIN.email }
  for (let request = 0; request < 30; request++) {
    const headers = { 'X-Forwarded-For': `192.0.2.${Math.floor(request / 5)}` }
    await new Visitor(app.url).send('/reset', { form, headers })
  }
  const status = async (visitor: Visitor) =>
    (await visitor.send('/reset', { form, headers: { 'X-Forwarded-For': '192.0.2.99' } })).status
  expect([await status(new Visitor(app.url)), await status(owner)]).toEqual([429, 303])
}, 60_000)

test('case 29: callbacks that are invalid make one row an hour', async () => {
  for (let request = 0; request < 40; request++) {
    await new Visitor(app.url).send(`/auth/bitbucket/callback?code=${request}&state=${request}`)
  }
  const rows = await withDatabase((db) =>
    db.selectFrom('activity').selectAll().where('type', '=', 'refused').where('user_id', 'is', null).execute(),
  )
  expect(rows.length).toBeLessThanOrEqual(2)
  expect(rows.reduce((sum: number, row: { count: number }) => sum + row.count, 0)).toBeGreaterThanOrEqual(40)
})

test('activity is paged, and can show one tenant only', async () => {
  const admin = await signInAsAdmin()
  await withDatabase(async (db) => {
    for (let row = 0; row < 30; row++) {
      const at = new Date(Date.now() - row * 1000).toISOString()
      const entry = { id: `paged-${row}`, at, user_id: null, tenant: 'acme', type: 'signed_in', detail: `entry ${row}` }
      await db
        .insertInto('activity')
        .values({ ...entry, count: 1 })
        .execute()
    }
  })
  const first = await admin.send('/admin/activity?tenant=acme')
  expect(first.text).toContain('entry 3 ')
  expect(first.text).not.toContain('entry 29')
  expect((await admin.send('/admin/activity?tenant=acme&page=2')).text).toContain('entry 29')
  expect((await admin.send('/admin/activity?tenant=globex')).text).not.toContain('entry')
  expect((await admin.send('/admin/activity?page=x')).status).toBe(200)
})

test('case 30: the sign-up page offers Bitbucket', async () => {
  expect((await new Visitor(app.url).send('/sign-up')).text).toContain('href="/auth/bitbucket')
})

test('case 30: a refusal is an alert, a success is a status', async () => {
  const admin = await signInAsAdmin()
  const refused = await admin.visit('/account/password', { form: { password: 'short' } })
  expect(refused.text).toContain('<p class="problem" role="alert">Choose a password')
  const saved = await admin.visit('/admin/bitbucket', { form: { level: 'default', signUp: 'true' } })
  expect(saved.text).toContain('<p class="notice" role="status">Saved')
})

test('case 30: after confirming with Bitbucket the page does not ask to confirm again', async () => {
  await new Visitor(app.url).visit('/scenarios/trusted', { form: {} })
  const alice = new Visitor(app.url)
  await alice.signInWithBitbucket('alice')
  await withDatabase(async (db) => {
    for (const { id, data } of await db.selectFrom('sessions').selectAll().execute()) {
      const session = JSON.parse(data)
      if (session.bitbucketSignIn) session.bitbucketSignIn.at -= 11 * 60_000
      await db
        .updateTable('sessions')
        .set({ data: JSON.stringify(session) })
        .where('id', '=', id)
        .execute()
    }
  })
  const asked = await alice.visit('/account/delete', { form: { sure: 'yes' } })
  expect(asked.url).toContain('/auth/bitbucket/reauthenticate')
  const account = await alice.decide(await alice.submit(asked, '/auth/bitbucket/reauthenticate'), 'alice')
  expect(account.url).toBe(`${app.url}/account`)
  expect(account.text).not.toMatch(/confirm that it is you|recent sign-in/i)
})

test('the sign-in pages of Bitbucket speak German to users who choose it', async () => {
  const visitor = new Visitor(app.url)
  await visitor.send('/language', { form: { language: 'de' } })
  expect((await visitor.send('/auth/bitbucket/callback?state=x')).text).toContain('lang="de"')
  expect((await visitor.send('/sign-in')).text).toContain('Bitbucket')
})

test('a scenario selects its person, resets the limits and counts as tried', async () => {
  const visitor = new Visitor(app.url)
  const selected = ({ text }: { text: string }) => /value="(\w+)" required checked/.exec(text)?.[1]
  for (let round = 0; round < 3; round++) {
    const consent = await visitor.visit('/scenarios/squatted', { form: {} })
    expect(selected(consent)).toBe('grace')
    const page = await visitor.decide(consent, 'grace')
    expect(page.text).toContain('href="/dev/mailbox"')
    const end = await visitor.submit(page, '/email/verify', { code: await app.code('grace@example.com') })
    expect(end.url).toBe(`${app.url}/account?bitbucket=signed-up`)
  }
  expect((await visitor.send('/scenarios')).text).toContain('1 of 15 tried')
})
