import http = require('node:http')

import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { Arrivals } from '../../src/testing/arrivals'
import { callbackOf, exchange, get, send } from './client'

let fake: FakeBitbucket
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterEach(() => fake.reset())
afterAll(() => fake.close())

it('keeps endpoint, method, address, query, headers, form, body, time and status of each request', async () => {
  const before = Date.now()
  const { code = '' } = await callbackOf(fake, 'alice')
  fake.clearRequests()
  await exchange(fake, code)
  const [request] = fake.requests
  expect(request).toMatchObject({
    endpoint: 'token',
    method: 'POST',
    path: '/site/oauth2/access_token',
    url: '/site/oauth2/access_token',
    query: {},
    form: { grant_type: 'authorization_code', code, redirect_uri: 'http://localhost:3000/auth/bitbucket/callback' },
    status: 200,
  })
  expect(request?.body).toContain(`code=${code}`)
  expect(request?.headers.authorization).toMatch(/^Basic /)
  expect(request?.time).toBeGreaterThanOrEqual(before - 1)
  expect(request?.time).toBeLessThanOrEqual(Date.now() + 1)
})

it('keeps the first of repeated parameters by name, and all of them in url and body', async () => {
  await send(`${fake.endpoints.tokenURL}?x=1&x=2&__proto__=3`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'a=1&a=2',
  })
  const [request] = fake.requests
  expect(request?.query.x).toBe('1')
  expect(Object.keys(request?.query ?? {})).toEqual(['x', '__proto__'])
  expect(request?.form).toEqual({ a: '1' })
  expect(request?.url).toContain('?x=1&x=2')
  expect(request?.body).toBe('a=1&a=2')
})

it.each([
  ['/site/oauth2/authorize?x=1', 'authorize'],
  ['/site/oauth2/access_token', 'token'],
  ['/2.0/user', 'user'],
  ['/2.0/user/', 'user'],
  ['/2.0/user/emails?page=2', 'emails'],
  ['/2.0/user/emails/a@example.com', 'other'],
  ['/2.0/user/workspaces', 'workspaces'],
  ['/2.0/user/workspaces/acme/permission', 'workspace'],
  ['/2.0/workspaces', 'other'],
  ['/2.0/users/x', 'other'],
  ['/', 'other'],
] as const)('sorts %s under %s', async (path, endpoint) => {
  await send(fake.url + path)
  expect(fake.requests.map((request) => request.endpoint)).toEqual([endpoint])
  expect([fake.count(endpoint), fake.count()]).toEqual([1, 1])
})

it('numbers connections, so that new ones differ from reused ones', async () => {
  const opened = fake.connectionsOpened
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  for (let n = 0; n < 3; n++) await send(fake.url, { agent })
  agent.destroy()
  expect(fake.connectionsOpened).toBe(opened + 1)
  expect(fake.requests.map(({ connection }) => connection)).toEqual(Array(3).fill(opened + 1))
  await send(fake.url)
  expect(fake.requests.at(-1)?.connection).toBe(opened + 2)
})

it('records a request whose body never arrives', async () => {
  const request = http.request(fake.endpoints.tokenURL, { agent: false, method: 'POST' })
  request.on('error', () => undefined)
  request.write('grant_type=')
  await expect.poll(() => fake.requests).toMatchObject([{ endpoint: 'token', body: '', status: null }])
  request.destroy()
})

it('returns lists that do not change later', async () => {
  await get(fake, '/user', 'x')
  const { requests } = fake
  await get(fake, '/user', 'x')
  fake.clearRequests()
  expect(requests).toHaveLength(1)
  expect([fake.requests.length, fake.count()]).toEqual([0, 0])
})

it('keeps the newest ten thousand and counts them all', () => {
  const recorder = new Arrivals()
  for (let n = 0; n < 10_005; n++) recorder.noteSignIn(new URL(`http://127.0.0.1/2.0/user?n=${n}`))
  expect(recorder.requests).toHaveLength(10_000)
  expect(recorder.requests[0]?.query.n).toBe('5')
  expect(recorder.count('user')).toBe(10_005)
})
