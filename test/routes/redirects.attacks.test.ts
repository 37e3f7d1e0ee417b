import { expect } from 'vitest'
import { Secret } from '../../src/contract/secret'
import { deriveKeys } from '../../src/state/keys'
import { open, seal } from '../../src/state/sealed-cookie'
import { TestBrowser } from '../support/browser'
import { browsers, type Lab, ourCookies, raw, startLab, test } from '../support/lab'

const EVIL = 'evil.example'

/** Ways to leave the site that some parser, browser or joining of strings takes. */
const LEAVING = [
  ...[`//${EVIL}`, `///${EVIL}`, `////${EVIL}`, `/\\/${EVIL}`, `/\\${EVIL}`, `\\\\${EVIL}`, `\\/${EVIL}`, `\\${EVIL}`],
  ...[
    `/\t/${EVIL}`,
    `/\n/${EVIL}`,
    `/\r/${EVIL}`,
    `\t//${EVIL}`,
    ` //${EVIL}`,
    `\u0000//${EVIL}`,
    `\u000b//${EVIL}`,
    `/\t\\${EVIL}`,
  ],
  ...[
    `https:${EVIL}`,
    `http:${EVIL}`,
    `https:/${EVIL}`,
    `https:///${EVIL}`,
    `https:\\\\${EVIL}`,
    `HTTPS://${EVIL}`,
    `//${EVIL}:443/x`,
  ],
  ...[
    'https://app.example@evil.example/',
    'https://app.example:443@evil.example/',
    'https://evil.example#@app.example/',
  ],
  ...[
    'https://evil.example?@app.example/',
    'https://app.example.evil.example/',
    'https://evilapp.example/',
    'https://app.example./',
  ],
  ...['https://app.example:444/', 'http://app.example/', 'https://\u24d4vil.example/', 'https://\u0430pp.example/'],
  ...['https://app.example\u2044@evil.example', 'https://2130706433/', 'https://0x7f.1/', 'https://[::ffff:7f00:1]/'],
  ...[
    'javascript:alert(1)',
    'java\nscript:alert(1)',
    'JaVaScRiPt:alert(1)',
    'javascript://app.example/%0aalert(1)',
    'data:text/html,x',
  ],
  ...['vbscript:x', 'blob:https://app.example/x', `view-source:https://${EVIL}`],
  ...[
    `/.//${EVIL}`,
    `/..//${EVIL}`,
    `/foo/..//${EVIL}`,
    `/./\\${EVIL}`,
    `/a/../\\${EVIL}`,
    `/%2e//${EVIL}`,
    `/%2E%2e//${EVIL}`,
  ],
  ...[
    `../..//${EVIL}`,
    `/%2f%2f${EVIL}`,
    `/%5c${EVIL}`,
    `/%09/${EVIL}`,
    `/.%2e//${EVIL}`,
    `/a//${EVIL}`,
    `/x/%2e%2e//${EVIL}`,
  ],
]
const SPLITTING = [
  '/%0d%0aSet-Cookie:%20a=b',
  '/x\r\nSet-Cookie: a=b',
  '/x\nSet-Cookie: a=b',
  '/x\u0085Set-Cookie: a=b',
  '/x\u2028y',
]
const JOINED = [`@${EVIL}`, EVIL, `.${EVIL}`, ':80', '?next=//evil.example', '#//evil.example', '']
const ACTIONS = [
  '/auth/bitbucket',
  '/auth/bitbucket/',
  '/AUTH/Bitbucket/unlink',
  '/auth/bitbucket/callback?code=x&state=y',
  '/auth%2Fbitbucket',
]
const ENDINGS = ['/logout', '/account/logout', '/Sign-Out', '/signout/', '/log-out?x=1', '/login', '/%6cogout']
const FINE = [
  '/ok?x=//evil.example#//evil.example',
  '/ok/\u00e9',
  '/dash?tab=1#top',
  '/',
  '/a%20b',
  '/a/b.html?q=%2F%2F',
]

/** Where a sign-in with this way back ends. */
async function endOf(lab: Lab, returnTo: string): Promise<string> {
  return (await lab.signIn(new TestBrowser(), 'alice', { returnTo })).location
}

function staysOnSite(location: string): boolean {
  const base = 'https://app.example/auth/bitbucket/callback'
  return (
    new URL(location, base).origin === 'https://app.example' && !location.includes('\\') && location.startsWith('/')
  )
}

test('RED-01: ends on the default page for every return URL that leaves the site', async ({ lab }) => {
  for (const payload of LEAVING) {
    const location = await endOf(lab, payload)
    expect([payload, location]).toEqual([payload, '/'])
    expect(staysOnSite(location)).toBe(true)
  }
  for (const path of FINE) {
    const location = await endOf(lab, path)
    expect(decodeURIComponent(location)).toBe(decodeURIComponent(path))
    expect(staysOnSite(location)).toBe(true)
  }
  // Byte for byte: what is parsed and written again is another string.
  for (const path of ["/it's/a|b?q='x'&r={y}", '/a%7eb?c=%3d#%41']) expect(await endOf(lab, path)).toBe(path)
})

test('RED-02: ignores a return URL at the callback', async ({ lab, victim }) => {
  const url = await lab.callback(victim, 'alice', '/mine')
  expect((await victim.get(`${url}&returnTo=//${EVIL}&next=//${EVIL}&redirect=//${EVIL}`)).location).toBe('/mine')
})

test('RED-03: checks the return URL inside the sealed record again', async ({ lab }) => {
  const keys = deriveKeys([new Secret('test-secret-test-secret-test-secret')], 'bitbucket', 'transaction')
  for (const returnTo of [`//${EVIL}`, `https://${EVIL}/`, '/auth/bitbucket', '/fine']) {
    const browser = new TestBrowser()
    const url = await lab.callback(browser, 'alice')
    const [[name = '', value = ''] = []] = [...ourCookies(browser, lab.url)]
    const payload = open(keys, name, value)?.payload as object
    browser.jar(lab.url).set(name, seal(keys, name, { ...payload, r: returnTo }))
    expect((await browser.get(url)).location).toBe(returnTo === '/fine' ? '/fine' : '/')
    expect(await lab.me(browser)).toBe('u1')
  }
})

test('RED-06: checks and escapes the return URL in JSON, pages and hidden fields', async ({ lab, victim }) => {
  await lab.member(victim)
  const markup = '/x"><script>alert(1)</script>'
  for (const payload of [...LEAVING, markup]) {
    const query = `?returnTo=${encodeURIComponent(payload)}`
    for (const path of ['/link', '/reauthenticate']) {
      const page = await lab.get(victim, `${path}${query}`)
      expect([payload, page.status]).toEqual([payload, 200])
      for (const [, href = ''] of page.text.matchAll(/(?:href|action)="([^"]*)"/g)) expect(href).toMatch(/^\/(?![/\\])/)
      expect(page.text).not.toContain('<script')
      if (payload !== markup) expect(page.text).not.toContain(EVIL)
    }
  }
  const fine = await lab.get(victim, '/link?returnTo=/fine')
  expect(fine.text).toContain('value="/fine"')
  const json = { headers: { accept: 'application/json' } }
  const started = await lab.get(new TestBrowser(), `?returnTo=//${EVIL}`, json)
  expect(started.headers['content-type']).toContain('application/json')
  const browser = new TestBrowser()
  const url = await lab.callback(browser, 'alice', `javascript:alert(1)`)
  expect((await browser.get(url, json)).json()).toEqual({ outcome: 'signed_in', next: '/' })
})

test('RED-07: ends on the default page for return URLs that loop or act', async ({ lab }) => {
  // Browsers take the dots out before they ask.
  const dotted = ['/x/../auth/bitbucket', '/x/%2e%2e/auth/bitbucket/callback?code=x', '/x/.%2E/login', '/./login']
  for (const payload of [...ACTIONS, ...ENDINGS, ...dotted])
    expect([payload, await endOf(lab, payload)]).toEqual([payload, '/'])
  expect(await endOf(lab, '/logout-history')).toBe('/logout-history')
  expect(await endOf(lab, '/auth/bitbucketx')).toBe('/auth/bitbucketx')
})

test('RED-08: matches a configured domain exactly, never by prefix, suffix, port or scheme', async () => {
  const lab = await startLab({
    resolver: (defaults) => {
      const { port } = new URL(defaults.callbackURL)
      const connection = { ...defaults, origins: [`http://b.localhost:${port}`, 'https://app2.example.com'] }
      return () => connection
    },
    before: (app) => void app.set('trust proxy', true),
  })
  const { port } = new URL(lab.url)
  const { victim } = browsers()
  const proxied = async (host: string, proto = 'https') => {
    const headers = { 'x-forwarded-host': host, 'x-forwarded-proto': proto }
    return (await lab.get(victim, '', { headers })).status
  }
  for (const host of [
    `app2.example.com.${EVIL}`,
    `app2.example.comx`,
    'xapp2.example.com',
    'app2.example.com:444',
    'app2.example.com.',
    'u@app2.example.com',
    'example.com',
  ]) {
    expect([host, await proxied(host)]).toEqual([host, 403])
  }
  expect(await proxied('app2.example.com', 'http')).toBe(403)
  expect(await proxied('app2.example.com')).toBe(302)
  const hosts = [
    `b.localhost.${EVIL}:${port}`,
    `xb.localhost:${port}`,
    `b.localhost:1`,
    `b.localhost.:${port}`,
    `u@b.localhost:${port}`,
  ]
  hosts.push(`b.localhost`, `b.localhost:${port}@${EVIL}`, `${EVIL}#b.localhost:${port}`, `b.localhost:${port}/x`)
  for (const host of hosts) {
    const answer = await lab.get(victim, '', { headers: { host } })
    expect([host, answer.status >= 400, answer.location]).toEqual([host, true, ''])
  }
  expect((await lab.get(victim, '', { headers: { host: `b.localhost:${port}` } })).status).toBe(302)
})

test('RED-09: ends on the default page for return URLs of invalid size or type, and stores nothing of them', async ({
  lab,
}) => {
  for (const query of [
    `returnTo=/${'x'.repeat(8000)}`,
    'returnTo[]=/x',
    'returnTo[a]=/x',
    'returnTo=/x&returnTo=/y',
    'returnTo=/%00',
    'returnTo=%ED%A0%80',
    'returnTo=/%ff%fe',
    'returnTo',
  ]) {
    const browser = new TestBrowser()
    const started = await lab.get(browser, `?${query}`)
    expect([...ourCookies(browser, lab.url).values()].every(({ length }) => length < 1300)).toBe(true)
    const answer = await browser.get(await lab.fake.signIn(started.location, { person: 'alice' }))
    if (query.includes('%ff')) expect(answer.location.startsWith('/')).toBe(true)
    else expect([query.slice(0, 30), answer.location]).toEqual([query.slice(0, 30), '/'])
  }
  expect(await endOf(lab, `/${'x'.repeat(500)}`)).toBe(`/${'x'.repeat(500)}`)
  const { victim } = browsers()
  await lab.member(victim)
  for (const [length, shown] of [
    [500, true],
    [600, false],
  ] as const) {
    const { text } = await lab.get(victim, `/link?returnTo=/${'x'.repeat(length)}`)
    expect(text.includes('x'.repeat(length))).toBe(shown)
  }
})

test('RED-10: decodes the return URL once', async ({ lab }) => {
  for (const query of ['%252f%252fevil.example', '%2f%2fevil.example', '/%2509/evil.example', '%5C%5Cevil.example']) {
    const browser = new TestBrowser()
    const started = await lab.get(browser, `?returnTo=${query}`)
    const { location } = await browser.get(await lab.fake.signIn(started.location, { person: 'alice' }))
    expect(staysOnSite(location)).toBe(true)
    expect(new URL(location, 'https://app.example').pathname.startsWith('//')).toBe(false)
  }
  // Once, and no more than once.
  for (const [query, path] of [
    ['%2Fa%3Fb%3D%252F', '/a?b=%2F'],
    ['/a%2520b', '/a%20b'],
  ]) {
    const browser = new TestBrowser()
    const started = await lab.get(browser, `?returnTo=${query}`)
    expect((await browser.get(await lab.fake.signIn(started.location, { person: 'alice' }))).location).toBe(path)
  }
})

test('RED-11: does not make a path of another value by joining it to the origin', async ({ lab }) => {
  for (const payload of JOINED) expect([payload, await endOf(lab, payload)]).toEqual([payload, '/'])
  expect(await endOf(lab, '/@evil.example')).toBe('/@evil.example')
})

test('RED-12: refuses an absolute return URL, also to a configured domain', async () => {
  const lab = await startLab({
    resolver: (defaults) => {
      const { port } = new URL(defaults.callbackURL)
      const connection = { ...defaults, origins: [`http://b.localhost:${port}`] }
      return () => connection
    },
  })
  const { port } = new URL(lab.url)
  for (const payload of [
    `http://b.localhost:${port}/x`,
    `//b.localhost:${port}/x`,
    `${lab.url}/x`,
    `https://${EVIL}/`,
  ]) {
    expect(await endOf(lab, payload)).toBe('/')
  }
  expect(await endOf(lab, '/x')).toBe('/x')
})

test('RED-13: keeps the return URL through the new session, and nothing else of the old one', async () => {
  const lab = await startLab({ session: { saveUninitialized: true } })
  const { victim } = browsers()
  await victim.get(`${lab.url}/`)
  const { sessions } = lab.store as unknown as { sessions: Record<string, string> }
  const [id = ''] = Object.keys(sessions)
  sessions[id] = JSON.stringify({ ...JSON.parse(sessions[id] ?? '{}'), junk: 'junk', returnTo: `//${EVIL}`, otp: '1' })
  const answer = await lab.signIn(victim, 'alice', { returnTo: '/kept' })
  expect(answer.location).toBe('/kept')
  expect(JSON.stringify(sessions)).not.toMatch(/junk|otp|evil/)
})

test('RED-14: creates no header by line breaks in the return URL', async ({ lab }) => {
  for (const [payload, end] of [
    ...SPLITTING.map((each) => [each, '/'] as const),
    ['/kept?x=1', '/kept?x=1'] as const,
  ]) {
    const browser = new TestBrowser()
    const url = new URL(await lab.callback(browser, 'alice', payload))
    const cookie = [...browser.jar(lab.url)].map(([name, value]) => `${name}=${value}`).join('; ')
    const answer = await raw(
      lab.url,
      `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nCookie: ${cookie}\r\nConnection: close\r\n\r\n`,
    )
    const head = answer.split('\r\n\r\n')[0] ?? ''
    expect(head.match(/^location: .*$/gim)).toEqual([`Location: ${end}`])
    expect(head).not.toMatch(/^set-cookie: a=b/im)
  }
})
