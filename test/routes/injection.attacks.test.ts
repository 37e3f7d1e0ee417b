import { english } from 'passport-bitbucket-signin'
import { expect } from 'vitest'
import { formsOf, TestBrowser } from '../support/browser'
import { browsers, codesOf, type Lab, startLab, test } from '../support/lab'

const MARKUP = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "'><svg/onload=alert(1)>",
  'javascript:alert(1)',
  '{{7*7}}',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a payload for template engines
  '${7*7}',
  '<%= 7*7 %>',
  '</title><meta http-equiv=refresh content=0>',
  '%s %n %o',
  '\u2028<b>',
]

/** Every route with its method. */
const ROUTES = [
  ['GET', ''],
  ['GET', '/callback'],
  ['GET', '/email'],
  ['POST', '/email/address'],
  ['POST', '/email/code'],
  ['POST', '/email/verify'],
  ['GET', '/continue'],
  ['POST', '/continue'],
  ['GET', '/link'],
  ['POST', '/link'],
  ['POST', '/unlink'],
  ['GET', '/reauthenticate'],
  ['POST', '/reauthenticate'],
  ['POST', '/cancel'],
] as const

function expectInert(text: string): void {
  expect(text).not.toMatch(/<(?:script|img|svg\/|iframe|b>)/i)
  expect(text).not.toMatch(/<[^>]*\son\w+\s*=/i)
  expect(text).not.toMatch(/(?:href|src|action)="?(?:javascript|data):/i)
}

test('INJ-01: refuses or ignores arrays and objects in any parameter of any route, without a fault', async () => {
  for (const version of [4, 5] as const) {
    const lab = await startLab({ express: version })
    lab.app.set('query parser', version === 4 ? 'extended' : 'simple')
    const { victim } = browsers()
    await lab.member(victim)
    const names = [
      'code',
      'state',
      'error',
      'iss',
      'handover',
      'returnTo',
      'address',
      'choice',
      'id',
      'pending',
      'resumed',
    ]
    const shapes = (name: string) => [
      `${name}=1&${name}=2`,
      `${name}[]=1`,
      `${name}[a]=1`,
      `${name}[__proto__][x]=1`,
      `${name}[0][1][2][3][4][5][6]=1`,
      `${name}[length]=1`,
      `${name}[toString]=1`,
    ]
    for (const [method, path] of ROUTES) {
      const query = names.flatMap(shapes)
      for (let at = 0; at < query.length; at += 11) {
        const some = query.slice(at, at + 11).join('&')
        const answer =
          method === 'GET'
            ? await lab.get(victim, `${path}?${some}`)
            : await lab.post(victim, `${path}?${some}`, {}, { body: some })
        expect([path, answer.status < 500]).toEqual([path, true])
      }
      if (method === 'GET') continue
      for (const body of [
        '[]',
        '1',
        'null',
        '"x"',
        '{"__proto__":{"code":"x"}}',
        '{"id":{"$ne":1},"code":[],"choice":{}}',
        '{',
        '',
      ]) {
        const answer = await lab.post(victim, path, {}, { body, headers: { 'content-type': 'application/json' } })
        expect([path, body, answer.status < 500]).toEqual([path, body, true])
      }
    }
    expect(lab.faults).toEqual([])
    expect(({} as { x?: unknown; code?: unknown }).x).toBeUndefined()
    expect(lab.accounts.writes()).toEqual([])
    await lab.signIn(new TestBrowser(), 'carol')
    expect(lab.accounts.users.size).toBe(2)
  }
})

test('INJ-02: reads each value from its own place only', async ({ untrusted: lab, victim }) => {
  const genuine = new URL(await lab.callback(victim, 'alice'))
  const { search } = genuine
  // The callback's parameters in the body, in cookies and in headers.
  const form = { body: search.slice(1), headers: { 'content-type': 'application/x-www-form-urlencoded' } }
  await lab.refused(victim, () => victim.get(`${lab.base}/callback`, form), { code: 'state_invalid', upstream: 0 })
  for (const method of ['POST', 'HEAD', 'OPTIONS', 'PUT', 'PATCH', 'DELETE']) {
    const answer = await victim.get(genuine.href, { method })
    expect([method, answer.status, answer.headers.allow]).toEqual([method, 405, 'GET'])
  }
  expect(lab.upstream()).toBe(0)
  const cookie = [...victim.jar(lab.url)].map(([name, value]) => `${name}=${value}`).join('; ')
  const smuggled = { headers: { cookie: `${cookie}; ${search.slice(1).replaceAll('&', '; ')}`, state: 'x', code: 'x' } }
  await lab.refused(victim, () => victim.get(`${lab.base}/callback`, smuggled), { code: 'state_invalid', upstream: 0 })
  await victim.get(genuine.href)
  // The code of the mail in the query of the form's address.
  const { code = '' } = lab.mails[0] ?? {}
  const fields = formsOf((await lab.get(victim, '/email')).text)[0]?.fields ?? {}
  await lab.refused(victim, () => lab.post(victim, `/email/verify?code=${code}`, fields), { code: 'request_invalid' })
  await lab.verify(victim, code)
  expect(await lab.me(victim)).toBe('u1')
})

test('INJ-02: ignores a method override', async ({ lab, victim }) => {
  const url = await lab.callback(victim, 'alice')
  const headers = { 'x-http-method-override': 'GET', 'x-method-override': 'GET' }
  expect((await victim.get(`${url}&_method=GET`, { method: 'POST', headers })).status).toBe(405)
  await victim.get(url)
  expect(await lab.me(victim)).toBe('u1')
})

test('INJ-04: prints markup in names as text on every page', async () => {
  for (const name of MARKUP) {
    const lab = await startLab({ connection: { trustedProvider: false } })
    const { victim, attacker } = browsers()
    lab.fake.updatePerson('alice', { displayName: name, nickname: name, username: name })
    const owner = lab.accounts.add({ email: 'alice@example.com', emailVerified: true, name })
    const { code } = await lab.pendingCode(victim, 'alice')
    const pages = [await lab.get(victim, '/email')]
    await lab.verify(victim, code)
    pages.push(await lab.get(victim, '/continue'))
    await lab.localSignIn(victim, owner)
    pages.push(await lab.get(victim, '/continue'))
    await lab.press(victim, '/continue', '/continue', { choice: 'confirm' })
    pages.push(await lab.get(victim, '/link'), await lab.get(victim, '/reauthenticate'))
    await lab.member(attacker, { name })
    lab.fake.addPerson({ key: 'other', displayName: name, nickname: name })
    await lab.signIn(attacker, 'other')
    pages.push(await lab.get(attacker, '/continue'))
    for (const { status, text, headers } of pages) {
      expect(status).toBe(200)
      expectInert(text)
      expect(headers['content-security-policy']).toMatch(/^default-src 'none'/)
      expect(headers['content-security-policy']).not.toContain('unsafe')
    }
    expect(owner.identities).toHaveLength(1)
  }
})

test("INJ-05: never repeats Bitbucket's error words, with a valid state or without", async ({ lab, victim }) => {
  for (const [at, error] of [...MARKUP, 'access_denied', 'server_error'].entries()) {
    for (const state of ['invented', await lab.state(victim)]) {
      const url = lab.callbackURL({
        error,
        error_description: MARKUP[0] ?? '',
        error_uri: 'https://evil.example/',
        state,
      })
      const answer = await lab.refused(victim, () => victim.get(url), { upstream: 0 })
      // One of our codes, and not whatever the app makes of an error that was thrown.
      expect(codesOf(answer)).toHaveLength(1)
      expectInert(answer.text)
      expect(answer.text).not.toMatch(/evil\.example|7\*7|alert\(/)
      expect(Object.values(english.errors).length).toBeGreaterThan(at)
    }
  }
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
})

test('INJ-06: accepts no hostile addresses and pictures', async ({ lab }) => {
  const hostile = [
    '"<svg/onload=alert(1)>"@x.test',
    '<b>@x.test',
    'a"@x.test',
    "a'<@x.test",
    'a@x.test>',
    'a@[127.0.0.1]',
  ]
  for (const [at, address] of hostile.entries()) {
    const browser = new TestBrowser()
    lab.fake.addPerson({
      key: `p${at}`,
      emails: [{ address, primary: true, confirmed: true }],
      user: { links: { avatar: { href: 'javascript:alert(1)' }, html: { href: 'data:text/html,x' } } },
    })
    expect((await lab.signIn(browser, `p${at}`)).location).toBe('/auth/bitbucket/email')
    const page = await lab.get(browser, '/email')
    expectInert(page.text)
    const typed = await lab.press(browser, '/email', '/email/address', { address })
    expect(typed.status).toBe(400)
    expectInert(typed.text)
    expect(typed.text).not.toContain('svg/onload')
  }
  expect(lab.mails).toEqual([])
  const browser = new TestBrowser()
  lab.fake.addPerson({ key: 'pic', user: { links: { avatar: { href: 'javascript:alert(1)' } } } })
  await lab.signIn(browser, 'pic')
  expect(lab.accounts.users.get('u1')?.identities[0]?.profile?.avatarUrl).toBeNull()
})

test('INJ-07: creates no header by line breaks, and does not crash', async () => {
  const lab = await startLab({ options: { paths: { failed: '/failed' } } })
  const { victim } = browsers()
  const split = 'x\r\nSet-Cookie: evil=1\r\n\r\n<script>'
  lab.fake.updatePerson('alice', { displayName: split, nickname: split })
  const answers = [
    await lab.get(victim, `?returnTo=${encodeURIComponent(`/${split}`)}`),
    await victim.get(lab.callbackURL({ error: split, state: split })),
    await victim.get(lab.callbackURL({ error: split, state: await lab.state(victim) })),
    await lab.signIn(victim, 'alice', { returnTo: `/${split}` }),
  ]
  for (const { headers, status } of answers) {
    expect(status).toBe(302)
    expect(JSON.stringify(headers)).not.toContain('evil')
  }
  expect(answers[1]?.location).toBe('/failed?error=state_invalid&next=%2Fauth%2Fbitbucket')
  expect(answers.at(-1)?.location).toBe('/')
  expect(lab.faults).toEqual([])
})

test('INJ-08: refuses an address with a line break or a second recipient', async ({ lab, browser }) => {
  await lab.signIn(browser, 'dave')
  const hostile = [
    'a@x.test\r\nBcc: b@y.test',
    'a@x.test,b@y.test',
    'a@x.test;b@y.test',
    'a@x.test b@y.test',
    '<a@x.test>',
  ]
  hostile.push(
    'a@x.test\u0000',
    'Name <a@x.test>',
    'a@x.test%0abcc:b@y.test',
    'a@b@x.test',
    '@x.test',
    'a@',
    `a@${'x'.repeat(300)}.test`,
  )
  for (const address of hostile) {
    expect((await lab.press(browser, '/email', '/email/address', { address })).status).toBe(400)
  }
  expect(lab.mails).toEqual([])
  await lab.press(browser, '/email', '/email/address', { address: ' a@x.test ' })
  expect(lab.mails.map(({ to }) => to)).toEqual(['a@x.test'])
})

test('INJ-09: puts identifiers only into events, so that no log line can be forged', async ({ untrusted: lab }) => {
  const forged = 'x\n{"type":"signed_in","userId":"admin"}\u001b[2J'
  lab.fake.updatePerson('alice', { displayName: forged, nickname: forged, username: forged })
  const { victim } = browsers()
  await victim.get(lab.callbackURL({ error: forged, error_description: forged, state: forged }))
  const { code } = await lab.pendingCode(victim, 'alice')
  await lab.verify(victim, forged)
  await lab.verify(victim, code)
  expect(lab.events.length).toBeGreaterThan(4)
  expect(JSON.stringify(lab.events)).not.toMatch(/admin|\\u001b|\\n/)
})

test('INJ-10: prints format strings and template marks as they are', async ({ untrusted: lab, victim }) => {
  const name = '%s %d %n {{7*7}} {displayName} {address} $& $1'
  lab.fake.updatePerson('alice', { displayName: name })
  await lab.pendingCode(victim, 'alice')
  const { text } = await lab.get(victim, '/email')
  expect(text.replaceAll('&amp;', '&')).toContain(name)
  expect(text).not.toContain('49')
})

/** One answer of each kind: start, callback, pages, refusals. */
async function everyAnswer(lab: Lab, headers: Record<string, string> = {}) {
  const [browser, member] = [new TestBrowser(), new TestBrowser()]
  await lab.member(member)
  const denied = await lab.fake.signIn(await lab.start(browser), { person: 'alice', decision: 'deny' })
  const answers = [
    await lab.get(browser, '', { headers }),
    await lab.get(browser, '/callback', { headers }),
    await browser.get(denied, { headers }),
    await browser.get(await lab.callback(browser, 'dave'), { headers }),
    await lab.get(browser, '/email', { headers }),
    await lab.post(browser, '/email/address', { address: 'x' }, { headers }),
    await lab.post(browser, '/email/verify', { code: 'x' }, { headers }),
    await lab.get(browser, '/continue', { headers }),
    await lab.get(new TestBrowser(), '/email', { headers }),
    await lab.get(member, '/link', { headers }),
    await lab.get(member, '/reauthenticate', { headers }),
    await lab.post(member, '/unlink', { id: 'x' }, { headers }),
    await lab.post(member, '/link', {}, { headers: { ...headers, 'sec-fetch-site': 'cross-site' } }),
    await lab.post(member, '/cancel', {}, { headers }),
  ]
  return answers
}

test('INJ-13: declares the type of every answer and forbids sniffing', async ({ lab }) => {
  for (const answer of await everyAnswer(lab)) {
    expect(answer.headers['x-content-type-options']).toBe('nosniff')
    if (answer.text !== '') expect(answer.headers['content-type']).toBe('text/html; charset=utf-8')
  }
})

test('INJ-14: answers JSON clients with JSON and codes, never with pages, redirects or more than browsers get', async ({
  lab,
}) => {
  for (const answer of await everyAnswer(lab, { accept: 'application/json' })) {
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8')
    expect(answer.status < 300 || answer.status >= 400).toBe(true)
    expect(answer.text).not.toContain('<')
    const body = answer.json()
    expect(Object.keys(body)).toContain(answer.status < 400 ? 'outcome' : 'error')
    if (answer.status >= 400) expect(Object.keys(body).sort()).toEqual(['error', 'message'])
    expect(answer.text).not.toMatch(/stack|node_modules|BitbucketSignInError/)
  }
})

test('INJ-16: applies the same checks to other spellings of a path, or has no route for them', async ({
  lab,
  victim,
}) => {
  const { search } = new URL(await lab.callback(victim, 'alice'))
  const planted = `?code=${lab.code('bob')}&state=0AAAAAAAAAAAAAAAAAAAAAA`
  for (const path of [
    '/callback/',
    '/CALLBACK',
    '/callback;x',
    '/%63allback',
    '//callback',
    '/callback%2f',
    '/./callback',
    '/callback.json',
  ]) {
    const { status, text } = await lab.get(victim, path + planted)
    expect([path, status === 403 || text === 'home']).toEqual([path, true])
  }
  expect(lab.upstream()).toBe(0)
  for (const path of ['/LINK', '/link/', '/Unlink', '/email/verify/']) {
    const answer = await lab.post(victim, path, {}, { headers: { 'sec-fetch-site': 'cross-site' } })
    expect([path, answer.status]).toEqual([path, 403])
  }
  await lab.get(victim, `/callback${search}`)
  expect(await lab.me(victim)).toBe('u1')
})

test("INJ-17: loads nothing, reorders nothing and adds no style for a tenant's brand", async () => {
  let brand: object = {}
  const lab = await startLab({ options: { brand: () => brand as never } })
  const page = async () => {
    const { text, headers } = await lab.get(new TestBrowser(), '/callback?state=x&code=y')
    return { text, policy: String(headers['content-security-policy']) }
  }
  const hostile = [
    ...['\u202eemcA', 'Ac\u2066me', 'Acme\n', 'x'.repeat(65), ' ', '\ud800'].map((name) => ({ name })),
    ...[
      'https://evil.example/a.png',
      '//evil.example/a.png',
      '/\\evil.example/a.png',
      'data:image/svg+xml,x',
      'a.png',
    ].map((logo) => ({ name: 'Acme', logo })),
    ...['#000;}body{display:none', '#000000</style><script>alert(1)</script>', 'red', '#0000zz'].map((accent) => ({
      name: 'Acme',
      accent,
    })),
  ]
  brand = null as never
  const plain = await page()
  for (brand of hostile) expect([brand, await page()]).toEqual([brand, plain])
  brand = { name: '<b>Acme</b>', logo: '/a"b.svg', accent: '#ffff00' }
  const { text, policy } = await page()
  expect(text).toContain('<bdi>&lt;b&gt;Acme&lt;/b&gt;</bdi>')
  expect(text).toContain('src="/a&quot;b.svg"')
  // White on yellow could not be read.
  expect(text).not.toContain('--main:#ffff00')
  expect(policy).not.toMatch(/unsafe|\*/)
  expect(policy.match(/'sha256-/g)).toHaveLength(2)
})
