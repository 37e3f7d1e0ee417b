import type { Socket } from 'node:net'
import { afterAll, describe, expect, test } from 'vitest'
import { GOOD_EMAILS, GOOD_TOKEN, GOOD_USER, goodAnswer, jsonBytes, type Lab, startRawLab, until } from '../attacks/lab'
import { TestBrowser } from '../support/browser'

const ENDPOINTS = { token: '/token', user: '/2.0/user', emails: '/2.0/user/emails' } as const
type Endpoint = keyof typeof ENDPOINTS
const GOOD = { token: GOOD_TOKEN, user: GOOD_USER, emails: GOOD_EMAILS } as const

/** What can go wrong on the wire, by the place in the answer. `ok` = the answer is complete before it happens. */
const FAULTS: readonly {
  readonly place: 'before the headers' | 'in the headers' | 'in the body' | 'after the body'
  readonly name: string
  readonly ok?: boolean
  play(socket: Socket, good: string): void
}[] = [
  { place: 'before the headers', name: 'silence', play: () => {} },
  { place: 'before the headers', name: 'a closed connection', play: (socket) => socket.end() },
  { place: 'before the headers', name: 'a reset connection', play: (socket) => socket.resetAndDestroy() },
  { place: 'before the headers', name: 'noise', play: (socket) => socket.write('\u0000\u0001\u0002 no http\r\n\r\n') },
  { place: 'in the headers', name: 'silence', play: (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Ty') },
  { place: 'in the headers', name: 'the end', play: (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Ty') },
  { place: 'in the headers', name: 'a reset', play: (socket) => cut(socket, 'HTTP/1.1 200 OK\r\nContent-Ty') },
  {
    place: 'in the headers',
    name: 'a flood',
    play: (socket) => socket.write(`HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(9000)}`),
  },
  {
    place: 'in the headers',
    name: 'two lengths',
    play: (socket, good) => socket.write(good.replace('content-length', 'content-length: 1\r\ncontent-length')),
  },
  { place: 'in the body', name: 'silence', play: (socket, good) => socket.write(good.slice(0, -20)) },
  { place: 'in the body', name: 'the end', play: (socket, good) => socket.end(good.slice(0, -20)) },
  { place: 'in the body', name: 'a reset', play: (socket, good) => cut(socket, good.slice(0, -20)) },
  {
    place: 'in the body',
    name: 'a chunk that is none',
    play: (socket) => socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}'),
  },
  { place: 'in the body', name: 'a flood', play: (socket) => flood(socket) },
  { place: 'in the body', name: 'one byte at a time for ever', play: (socket) => drip(socket) },
  { place: 'after the body', name: 'no last chunk', play: (socket, good) => socket.write(chunked(good).slice(0, -5)) },
  { place: 'after the body', name: 'the end', ok: true, play: (socket, good) => socket.end(good) },
  { place: 'after the body', name: 'a second answer', ok: true, play: (socket, good) => socket.write(good + good) },
  { place: 'after the body', name: 'noise', play: (socket, good) => socket.write(`${good}\u0000\u0001noise`) },
]

function cut(socket: Socket, bytes: string): void {
  socket.write(bytes, () => socket.resetAndDestroy())
}

function chunked(good: string): string {
  const body = good.slice(good.indexOf('\r\n\r\n') + 4)
  return `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
}

function flood(socket: Socket): void {
  socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"')
  const more = () => {
    if (!socket.destroyed && socket.bytesWritten < 8 * 1024 * 1024) socket.write('x'.repeat(65_536), more)
  }
  more()
}

function drip(socket: Socket): void {
  socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{"a":"')
  const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write('x')), 10)
  socket.on('close', () => clearInterval(timer))
}

/** Which endpoint a path is for. */
function endpointOf(path: string): Endpoint {
  if (path === ENDPOINTS.token) return 'token'
  return path.startsWith(ENDPOINTS.emails) ? 'emails' : 'user'
}

/** Nothing is left of a sign-in that failed. */
async function expectNothing(lab: Lab, browser: TestBrowser): Promise<void> {
  expect(await lab.me(browser)).toBeNull()
  expect(lab.signedIn()).toEqual([])
  expect(lab.accounts.users.size).toBe(0)
  expect(lab.accounts.writes()).toEqual([])
  expect(lab.faults).toEqual([])
}

let openAtStart = 0
const openResources = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length

describe.each(Object.keys(ENDPOINTS) as Endpoint[])('%s', (endpoint) => {
  test.each(FAULTS.map((fault) => [`${fault.place}: ${fault.name}`, fault] as const))('%s', async (_name, fault) => {
    openAtStart ||= openResources()
    let broken = true
    const { lab, browser, bitbucket, call } = await startRawLab(
      (path, socket) => {
        const here = endpointOf(path)
        if (broken && here === endpoint) fault.play(socket, jsonBytes(GOOD[here]))
        else goodAnswer(path, socket)
      },
      { options: { http: { timeoutMs: 250 } } },
    )
    const start = performance.now()
    const answer = await call()
    expect(performance.now() - start).toBeLessThan(3000)
    if (fault.ok) {
      expect([answer.status, answer.location]).toEqual([302, '/'])
      expect(await lab.me(browser)).toBe('u1')
    } else {
      expect([502, 504]).toContain(answer.status)
      await expectNothing(lab, browser)
      // No request is left hanging at Bitbucket.
      await until(() => [...bitbucket.sockets].filter(({ readyState }) => readyState === 'open').length <= 3)
    }
    broken = false
    const again = new TestBrowser()
    await again.get(lab.callbackURL({ code: 'raw-code', state: await lab.state(again) }))
    expect(await lab.me(again)).toBe('u1')
  })
})

test('somebody known signs in although the addresses cannot be read', async () => {
  for (const fault of FAULTS.filter(({ ok }) => !ok)) {
    let broken = false
    const { lab, call } = await startRawLab(
      (path, socket) => {
        if (broken && endpointOf(path) === 'emails') fault.play(socket, jsonBytes(GOOD_EMAILS))
        else goodAnswer(path, socket)
      },
      { options: { http: { timeoutMs: 250 } } },
    )
    await call()
    broken = true
    const { status, location } = await call()
    // Where the addresses never come, the deadline of the whole exchange ends it; else they do not matter.
    expect([fault.name, status === 504 || location === '/']).toEqual([fault.name, true])
    expect(lab.accounts.users.size).toBe(1)
  }
})

test('a plugin that is closed in the middle of an exchange ends it, once and quietly', async () => {
  let asked = false
  const { lab, browser, call } = await startRawLab(() => {
    asked = true
  })
  const answer = call()
  await until(() => asked, 'the token request')
  lab.bitbucket.close()
  expect((await answer).status).toBe(502)
  await expectNothing(lab, browser)
})

afterAll(async () => {
  await until(() => openResources() <= openAtStart + 2, 'the sockets to be closed')
})
