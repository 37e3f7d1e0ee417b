import type { Express } from 'express'
import { expect } from 'vitest'
import { type Answer, formsOf, TestBrowser } from '../support/browser'
import { browsers, type Lab, ourCookies, startLab, test } from '../support/lab'

const PUBLIC = 'https://app.example.com'
const PROXY = { 'x-forwarded-proto': 'https', host: 'app.example.com' }
const behindProxy = (app: Express) => void app.set('trust proxy', 1)

/** A lab as it stands behind a proxy that ends TLS. */
async function startSecure(options: Parameters<typeof startLab>[0] = {}) {
  const callbackURL = `${PUBLIC}/auth/bitbucket/callback`
  const lab = await startLab({ before: behindProxy, ...options, connection: { callbackURL, ...options.connection } })
  lab.fake.addClient({
    ...lab.fake.clients[0],
    clientID: 'fake-client-id',
    clientSecret: 'fake-client-secret',
    callbackURL,
  })
  const signIn = async (browser: TestBrowser, person: string) => {
    const started = await lab.get(browser, '', { headers: PROXY })
    const url = (await lab.fake.signIn(started.location, { person })).replace(PUBLIC, lab.url)
    return { started, url, answer: await browser.get(url, { headers: PROXY }) }
  }
  return { lab, signIn }
}

/** Pages of every kind, as a browser gets them. */
async function pages(lab: Lab): Promise<Answer[]> {
  const [visitor, member] = [new TestBrowser(), new TestBrowser()]
  await lab.member(member)
  await lab.signIn(visitor, 'dave')
  const found = [
    await lab.get(visitor, '/email'),
    await lab.get(new TestBrowser(), '/email'),
    await lab.get(visitor, '/callback'),
  ]
  await lab.press(visitor, '/email', '/email/address', { address: 'dave@example.com' })
  found.push(await lab.get(visitor, '/email'), await lab.get(member, '/link'), await lab.get(member, '/reauthenticate'))
  await lab.signIn(member, 'alice')
  found.push(await lab.get(member, '/continue'))
  return found
}

test('HDR-01: sets our cookies HttpOnly, Secure over https, for this host and path, until the sign-in ends', async () => {
  const { lab, signIn } = await startSecure({ connection: { trustedProvider: false } })
  const { victim } = browsers()
  const { started, answer } = await signIn(victim, 'alice')
  const lines = [...started.setCookies, ...answer.setCookies].filter((line) => line.includes('bitbucket.'))
  expect(lines.length).toBeGreaterThanOrEqual(3)
  for (const line of lines) {
    const [pair = '', ...attributes] = line.split('; ')
    expect(pair).toMatch(/^__Host-bitbucket\.(?:t[\da-f]|p)=[\w-]*$/)
    const age = attributes.find((each) => each.startsWith('Max-Age='))
    expect(attributes.filter((each) => each !== age).sort()).toEqual(['HttpOnly', 'Path=/', 'SameSite=Lax', 'Secure'])
    expect(Number(age?.slice(8))).toBeLessThanOrEqual(pair.startsWith('__Host-bitbucket.t') ? 600 : 1800)
  }
  expect(await lab.me(victim)).toBeNull()
})

test('HDR-02: names our cookies __Host- over https, and ignores a planted cookie of the plain name', async () => {
  const { lab, signIn } = await startSecure()
  const { victim, attacker } = browsers()
  const started = await lab.get(attacker, '', { headers: PROXY })
  const url = (await lab.fake.signIn(started.location, { person: 'carol' })).replace(PUBLIC, lab.url)
  const [name = '', value = ''] = started.setCookies[0]?.split(';')[0]?.split('=') ?? []
  // A sibling domain can set the plain name for the whole site; the other one only this very host can.
  victim.jar(lab.url).set(name.replace('__Host-', ''), value)
  expect((await victim.get(url, { headers: PROXY })).status).toBe(403)
  expect(lab.upstream()).toBe(0)
  expect((await attacker.get(url, { headers: PROXY })).location).toBe('/')
  const { answer } = await signIn(victim, 'alice')
  expect(answer.location).toBe('/')
})

test('HDR-03: sets our cookies Lax, and answers a Strict session with one inert page that spends nothing', async () => {
  const lab = await startLab({ session: { cookie: { sameSite: 'strict' } } })
  const { victim } = browsers()
  await lab.member(victim, { email: 'alice@example.com' })
  const link = await lab.link(victim)
  const url = await lab.fake.signIn(link, { person: 'alice' })
  // From Bitbucket's site the browser leaves the Strict cookie at home.
  const jar = victim.jar(lab.url)
  const sid = jar.get('connect.sid') ?? ''
  jar.delete('connect.sid')
  const page = await victim.get(url, { headers: { 'sec-fetch-site': 'cross-site' } })
  expect([page.status, lab.upstream()]).toEqual([200, 0])
  expect(page.text).not.toContain('<script')
  const href = /http-equiv="refresh" content="0;url=([^"]+)"/.exec(page.text)?.[1]?.replaceAll('&amp;', '&') ?? ''
  expect(href.startsWith('/auth/bitbucket/callback?')).toBe(true)
  // Once: the second time the answer is final, whatever comes along.
  const lost = await victim.copy().get(lab.url + href, { headers: { 'sec-fetch-site': 'cross-site' } })
  expect(lost.status).not.toBe(200)
  jar.set('connect.sid', sid)
  const again = await lab.fake.signIn(await lab.link(victim), { person: 'alice' })
  const resumed = await victim.get(`${again}&resumed=1`, { headers: { 'sec-fetch-site': 'same-origin' } })
  expect(resumed.location).toBe('/')
  expect(lab.accounts.users.get('u1')?.identities).toHaveLength(1)
})

test('HDR-04: clears our cookies when their step is over', async ({ lab, victim }) => {
  await lab.signIn(victim, 'alice')
  expect([...ourCookies(victim, lab.url)]).toEqual([])
  await victim.get(await lab.fake.signIn(await lab.start(victim), { person: 'alice', decision: 'deny' }))
  expect([...ourCookies(victim, lab.url)]).toEqual([])
  await lab.start(victim)
  await lab.start(victim)
  await victim.post(`${lab.url}/logout`, {})
  expect([...ourCookies(victim, lab.url)]).toEqual([])
  await lab.signIn(victim, 'dave')
  await lab.press(victim, '/email', '/cancel')
  expect([...ourCookies(victim, lab.url)]).toEqual([])
})

test('HDR-05: makes no response cacheable, and sets no ETag on pages', async ({ lab, victim }) => {
  const answers = [
    ...(await pages(lab)),
    await lab.get(victim, ''),
    await lab.get(victim, '/callback'),
    await lab.signIn(victim, 'alice'),
  ]
  answers.push(await lab.get(victim, '', { headers: { accept: 'application/json' } }))
  answers.push(await lab.post(victim, '/link', {}, { headers: { 'sec-fetch-site': 'cross-site' } }))
  for (const { headers } of answers) {
    expect(headers['cache-control']).toBe('no-store')
    if (headers['content-type']?.startsWith('text/html')) expect(headers.etag).toBeUndefined()
  }
})

test('HDR-06: sends no referrer to other sites', async ({ lab, victim }) => {
  for (const { headers } of [...(await pages(lab)), await lab.get(victim, ''), await lab.signIn(victim, 'alice')]) {
    // A page with a form lets this site's own forms name their origin; everything else names nothing.
    expect(headers['referrer-policy']).toMatch(headers.location ? /^no-referrer$/ : /^(?:no-referrer|same-origin)$/)
  }
})

test('HDR-07: forbids framing of our pages', async ({ lab }) => {
  for (const { headers } of await pages(lab)) {
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'")
    expect(headers['x-frame-options']).toBe('DENY')
  }
})

test('HDR-08: serves pages without scripts and foreign resources, with one style sheet that the policy names', async ({
  lab,
}) => {
  for (const { headers, text } of await pages(lab)) {
    const policy = headers['content-security-policy'] as string
    expect(policy).toMatch(/^default-src 'none'; style-src 'self' 'sha256-[\w+/=]{44}'; /)
    expect(policy).toContain("base-uri 'none'")
    expect(policy).not.toMatch(/unsafe|script-src|\*/)
    expect(text).not.toMatch(/<script|<iframe|<object|<embed|\sstyle="|<img|@import|url\(/i)
    for (const { action } of formsOf(text)) expect(action).toMatch(/^\/auth\/bitbucket\//)
  }
})

test('HDR-09: forbids type sniffing, and isolates pages from their opener', async ({ lab }) => {
  for (const { headers } of await pages(lab)) {
    expect(headers['x-content-type-options']).toBe('nosniff')
    expect(headers['cross-origin-opener-policy']).toBe('same-origin')
  }
})

test('HDR-11: accepts a confirmation only as a POST of its own page, site and user', async ({ lab, victim }) => {
  await lab.member(victim)
  await lab.signIn(victim, 'alice')
  const stale = formsOf((await lab.get(victim, '/continue')).text).find(({ fields }) => fields.choice === 'link')
  await lab.signIn(victim, 'carol')
  // The open page belongs to another sign-in than the pending one.
  await lab.refused(victim, () => lab.post(victim, '/continue', stale?.fields ?? {}), { code: 'pending_replaced' })
  expect((await victim.get(`${lab.base}/continue?choice=link`)).status).toBe(200)
  const fresh = formsOf((await lab.get(victim, '/continue')).text).find(({ fields }) => fields.choice === 'link')
  expect((await lab.post(victim, '/continue', fresh?.fields ?? {})).status).toBe(303)
  expect(lab.accounts.users.get('u1')?.identities[0]?.profile?.nickname).toBe('carol')
})

test('HDR-12: lets no other site read an answer', async ({ lab, victim }) => {
  const headers = { origin: 'https://evil.example', 'access-control-request-method': 'POST' }
  for (const path of ['', '/callback', '/email', '/link', '/continue']) {
    for (const method of ['GET', 'OPTIONS']) {
      const answer = await victim.get(lab.base + path, { method, headers })
      expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
    }
  }
})

test('HDR-13: keeps our pages strict whatever headers the app set before', async () => {
  const lab = await startLab({
    before: (app) => {
      app.use((_req, res, next) => {
        res.setHeader('Content-Security-Policy', "default-src * 'unsafe-inline'")
        res.setHeader('X-Frame-Options', 'SAMEORIGIN')
        res.setHeader('Cache-Control', 'public, max-age=3600')
        res.setHeader('Referrer-Policy', 'unsafe-url')
        res.setHeader('Cross-Origin-Opener-Policy', 'unsafe-none')
        next()
      })
    },
  })
  for (const { headers } of await pages(lab)) {
    expect(headers['content-security-policy']).toMatch(/^default-src 'none'/)
    expect(headers['x-frame-options']).toBe('DENY')
    expect(headers['cache-control']).toBe('no-store')
    expect(headers['referrer-policy']).toMatch(/^(?:no-referrer|same-origin)$/)
    expect(headers['cross-origin-opener-policy']).toBe('same-origin')
  }
})
