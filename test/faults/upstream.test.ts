import type { Socket } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { type Answer, TestBrowser } from '../support/browser'
import { atDeadline, GOOD_EMAILS, GOOD_TOKEN, GOOD_USER, jsonBytes, type Lab, startRawLab, until } from '../support/lab'

const WORKSPACE = { slug: 'acme', uuid: '{99999999-2222-4333-8444-555555555555}' }
const GOOD = {
  token: GOOD_TOKEN,
  user: GOOD_USER,
  emails: GOOD_EMAILS,
  workspace: { type: 'workspace_membership', permission: 'member', workspace: WORKSPACE },
} as const
type Endpoint = keyof typeof GOOD
const ENDPOINTS = Object.keys(GOOD) as Endpoint[]

/** Which endpoint a path is for. */
function endpointOf(path: string): Endpoint {
  if (path === '/token') return 'token'
  if (path.startsWith('/2.0/user/emails')) return 'emails'
  return path.startsWith('/2.0/user/workspaces/') ? 'workspace' : 'user'
}

interface Fault {
  readonly name: string
  /** Whether the answer is good all the same. */
  readonly ok?: boolean
  play(socket: Socket, good: string): void
}

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Ty'
const HINT = 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'

/** Faults on the wire, by their place in the answer. */
const PLACES: Readonly<Record<string, readonly Fault[]>> = {
  'before the headers': [
    { name: 'silence', play: () => {} },
    { name: 'a closed connection', play: (socket) => socket.end() },
    { name: 'a reset connection', play: (socket) => socket.resetAndDestroy() },
    { name: 'noise', play: (socket) => socket.write('\u0000\u0001\u0002 no http\r\n\r\n') },
    { name: 'a hint each millisecond for ever', play: (socket) => drip(socket, HINT) },
    { name: 'five hundred hints at once', ok: true, play: (socket, good) => socket.write(HINT.repeat(500) + good) },
    { name: 'another protocol', play: (socket) => socket.write(UPGRADE) },
  ],
  'in the headers': [
    { name: 'silence', play: (socket) => socket.write(HEAD) },
    { name: 'the end', play: (socket) => socket.end(HEAD) },
    { name: 'a reset', play: (socket) => cut(socket, HEAD) },
    { name: 'one byte at a time for ever', play: (socket) => drip(socket, 'x', HEAD) },
    { name: 'noise', play: (socket) => socket.write('HTTP/1.1 200 OK\r\n\u0000\u0001: no header\r\n\r\n{}') },
    { name: 'a flood', play: (socket) => socket.write(`HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(9000)}`) },
    { name: 'one of 20 kB', play: (socket, good) => socket.write(withHeader(good, `x: ${'y'.repeat(20_000)}`)) },
    {
      name: 'a thousand',
      ok: true,
      play: (socket, good) => socket.write(withHeader(good, 'a: b\r\n'.repeat(1000).trim())),
    },
    { name: 'two lengths', play: (socket, good) => socket.write(withHeader(good, 'content-length: 1')) },
    {
      name: 'a length and chunks',
      play: (socket, good) => socket.write(withHeader(good, 'transfer-encoding: chunked')),
    },
  ],
  'in the body': [
    { name: 'silence', play: (socket, good) => socket.write(good.slice(0, -20)) },
    { name: 'the end', play: (socket, good) => socket.end(good.slice(0, -20)) },
    { name: 'a reset', play: (socket, good) => cut(socket, good.slice(0, -20)) },
    {
      name: 'noise',
      play: (socket, good) => socket.write(good.replace(/\{.*/, (body) => '\u0000'.repeat(body.length))),
    },
    {
      name: 'a chunk that is none',
      play: (socket) => socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}'),
    },
    { name: 'a flood', play: (socket) => flood(socket) },
    {
      name: 'one byte at a time for ever',
      play: (socket) => drip(socket, 'x', 'HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{"a":"'),
    },
  ],
  'after the body': [
    { name: 'no last chunk', play: (socket, good) => socket.write(chunked(good).slice(0, -5)) },
    { name: 'no length and no end', play: (socket, good) => socket.write(good.replace(/content-length: .*\r\n/, '')) },
    { name: 'a reset instead of the last chunk', play: (socket, good) => cut(socket, chunked(good).slice(0, -5)) },
    { name: 'the end', ok: true, play: (socket, good) => socket.end(good) },
    { name: 'a reset', ok: true, play: (socket, good) => cut(socket, good) },
    { name: 'a second answer', ok: true, play: (socket, good) => socket.write(good + good) },
    { name: 'noise', ok: true, play: (socket, good) => socket.write(`${good}\u0000\u0001noise`) },
  ],
}

/** Whole answers that are none, or that are good in spite of how they look. */
const ANSWERS: readonly Fault[] = [
  ...[201, 202, 203, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 410, 418, 429].map(withStatus),
  ...[500, 501, 502, 503, 504, 599].map(withStatus),
  ...['[]', 'null', 'true', '1', '"x"', '', '{', '{}{}', '{}'].map((body) => ({
    name: `the JSON ${body || '(none)'}`,
    play: (socket: Socket) => socket.write(answer(body)),
  })),
  {
    name: 'a page',
    play: (socket) => socket.write(answer('<html>&access_token=T&token_type=bearer</html>', 'text/html')),
  },
  {
    name: 'a form',
    play: (socket) => socket.write(answer('access_token=T&token_type=bearer', 'application/x-www-form-urlencoded')),
  },
  {
    name: 'wrong types',
    play: (socket, good) => socket.write(answer(bodyOf(good).replace(/"[^"]*"(?=[,}\]])/g, '7'))),
  },
  { name: 'an error with status 200', play: (socket) => socket.write(answer('{"type":"error","error":"x"}')) },
  ...Object.entries({ gzip: gzipSync, br: brotliCompressSync, deflate: deflateSync }).map(([encoding, compress]) => ({
    name: `compression by ${encoding}`,
    play: (socket: Socket, good: string) => {
      const body = compress(bodyOf(good))
      socket.write(`HTTP/1.1 200 OK\r\ncontent-encoding: ${encoding}\r\ncontent-length: ${body.length}\r\n\r\n`)
      socket.write(body)
    },
  })),
  { name: 'another content type', ok: true, play: (socket, good) => socket.write(answer(bodyOf(good), 'text/html')) },
  { name: 'no content type', ok: true, play: (socket, good) => socket.write(good.replace(/content-type: .*\r\n/, '')) },
]

const UPGRADE = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'

function bodyOf(good: string): string {
  return good.slice(good.indexOf('\r\n\r\n') + 4)
}

function answer(body: string, type = 'application/json'): string {
  return `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

function withHeader(good: string, line: string): string {
  return good.replace('\r\n', `\r\n${line}\r\n`)
}

/** The good body, but with this status: nothing of it counts. */
function withStatus(status: number): Fault {
  const none = status === 204 || status === 304
  return {
    name: `status ${status}`,
    play: (socket, good) => {
      const whole = none ? 'HTTP/1.1 200 OK\r\n\r\n' : withHeader(good, 'location: http://127.0.0.1:1/')
      socket.write(whole.replace('200 OK', `${status} Status`))
    },
  }
}

function cut(socket: Socket, bytes: string): void {
  socket.write(bytes, () => socket.resetAndDestroy())
}

function chunked(good: string): string {
  const body = bodyOf(good)
  return `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
}

function flood(socket: Socket): void {
  socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"')
  const more = () => {
    if (!socket.destroyed && socket.bytesWritten < 8 * 1024 * 1024) socket.write('x'.repeat(65_536), more)
  }
  more()
}

function drip(socket: Socket, each: string, first = ''): void {
  socket.write(first)
  const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write(each)), 1)
  socket.on('close', () => clearInterval(timer))
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

/** A lab whose one endpoint has this fault for as long as `broken` says; members of a workspace alone may enter. */
async function startFaulty(endpoint: Endpoint) {
  openAtStart ||= openResources()
  const state: { fault: Fault | null; played: boolean } = { fault: null, played: false }
  const raw = await startRawLab(
    (path, socket) => {
      const here = endpointOf(path)
      const good = jsonBytes(GOOD[here])
      if (!state.fault || here !== endpoint) return void socket.write(good)
      state.played = true
      state.fault.play(socket, good)
    },
    { connection: { workspaces: ['acme'] } },
  )
  /** Signs in with this fault; one that hangs lasts until the deadline. */
  const callWith = (fault: Fault, call: () => Promise<Answer>) => {
    Object.assign(state, { fault, played: false })
    return fault.ok ? call() : atDeadline(call, () => state.played)
  }
  return Object.assign(raw, { state, callWith })
}

/** The answer to a new user: 403 and 404 of a workspace mean "not a member"; addresses that may not be read are asked for. */
function expectRefusal(
  { name }: Fault,
  endpoint: Endpoint,
  { status, location }: { status: number; location: string },
) {
  if (endpoint === 'workspace' && /^status 40[34]$/.test(name)) expect([name, status]).toEqual([name, 403])
  else if (endpoint === 'emails' && name === 'status 403')
    expect([name, location]).toEqual([name, '/auth/bitbucket/email'])
  else expect([name, status >= 500 && status <= 504]).toEqual([name, true])
}

describe.each(ENDPOINTS)('%s', (endpoint) => {
  test.each(Object.entries(PLACES))('%s', async (_place, faults) => {
    for (const fault of faults) {
      const { lab, browser, bitbucket, call, callWith, state } = await startFaulty(endpoint)
      const answer = await callWith(fault, call)
      if (fault.ok) {
        expect([fault.name, answer.status, answer.location]).toEqual([fault.name, 302, '/'])
        expect(await lab.me(browser)).toBe('u1')
      } else {
        expectRefusal(fault, endpoint, answer)
        await expectNothing(lab, browser)
        // One connection for each of the requests may idle; none is left hanging.
        await until(() => [...bitbucket.sockets].filter(({ readyState }) => readyState === 'open').length <= 4)
      }
      state.fault = null
      const again = new TestBrowser()
      await again.get(lab.callbackURL({ code: 'raw-code', state: await lab.state(again) }))
      expect([fault.name, await lab.me(again)]).toEqual([fault.name, 'u1'])
    }
  })
})

test('a known user signs in although the addresses cannot be read', async () => {
  const { lab, call, callWith } = await startFaulty('emails')
  await call()
  for (const fault of [...Object.values(PLACES).flat(), ...ANSWERS]) {
    const { location } = await callWith({ ...fault, ok: true }, call)
    expect([fault.name, location]).toEqual([fault.name, '/'])
  }
  expect(lab.accounts.users.size).toBe(1)
  expect(lab.accounts.writes()).toEqual(['createUser'])
})

test('closing the plugin during an exchange ends it once, without further reports', async () => {
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
