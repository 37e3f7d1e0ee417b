import http = require('node:http')
import https = require('node:https')

import { spawn } from 'node:child_process'
import dns from 'node:dns'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { Pool } from 'undici'
import { afterEach, beforeEach, describe, expect, type MockInstance, test, vi } from 'vitest'
import { createTransport, type TransportOptions } from '../../src/bitbucket/transport'
import { Need, type Transport } from '../../src/bitbucket/transport-parts'
import { BitbucketSignInError } from '../../src/contract/errors'
import { ExchangeDeadline } from '../../src/time/deadline'
import { turns } from '../support/lab'
import { CERTIFICATE, CERTIFICATE_KEY } from '../testing/certificate'
import { answerOf, type RawServer, startRawServer } from './raw-server'

const OK = answerOf('{"ok":true}')
const EVIL = answerOf('{"uuid":"evil"}')
const closers: (() => unknown)[] = []
afterEach(async () => {
  way = () => ({})
  for (const close of closers.splice(0).reverse()) await close()
})

function deadlineOf(timeoutMs = 5000): ExchangeDeadline {
  const deadline = new ExchangeDeadline(timeoutMs, undefined)
  closers.push(() => deadline.end())
  return deadline
}

/** Properties of both transports. */
const WAYS: readonly (readonly [string, () => TransportOptions])[] = [
  ['our own pool', () => ({})],
  [
    'an agent of the app',
    () => {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 50 })
      closers.push(() => agent.destroy())
      return { agent }
    },
  ],
]
let way: () => TransportOptions = () => ({})

function transportOf(options: TransportOptions = way()): Transport {
  const transport = createTransport(options)
  closers.push(() => transport.close())
  return transport
}

async function serverOf(...given: Parameters<typeof startRawServer>): Promise<RawServer> {
  const server = await startRawServer(...given)
  closers.push(() => server.close())
  return server
}

/** A connection is used again one turn of the event loop after its answer: a server may close it in the same breath. */
const turn = () => new Promise((resolve) => setImmediate(resolve))

interface Sending {
  readonly transport?: Transport
  readonly deadline?: ExchangeDeadline
  readonly method?: 'GET' | 'POST'
  readonly body?: string
  readonly need?: Need
  readonly path?: string
}

function send(
  server: { url: URL },
  { transport = transportOf(), deadline = deadlineOf(), method = 'GET', body, need, path }: Sending = {},
) {
  return transport.request({
    method,
    url: path === undefined ? server.url : new URL(path, server.url),
    headers: { authorization: 'Bearer T0ken' },
    deadline,
    ...(body !== undefined && { body }),
    ...(need && { need }),
  })
}

/** The code with which it is refused; any other kind of error is a failure. */
async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => 'resolved',
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof BitbucketSignInError)) throw new Error(`not a BitbucketSignInError: ${error}`)
  return error.code
}

describe.each(WAYS)('through %s, an answer', (_way, options) => {
  beforeEach(() => {
    way = options
  })

  test('is one JSON object with its status', async () => {
    const server = await serverOf((socket) => socket.write(OK))
    expect(await send(server)).toMatchObject({ status: 200, body: { ok: true } })
  })

  test('may have any other status', async () => {
    for (const status of ['201 Created', '400 Bad', '401 No', '403 No', '404 No', '429 Slow', '500 Oops', '503 Busy']) {
      const server = await serverOf((socket) => socket.write(answerOf('{"error":"x"}', {}, status)))
      expect(await send(server)).toMatchObject({ status: Number(status.slice(0, 3)), body: { error: 'x' } })
    }
  })

  test.each([
    ['null', 'null'],
    ['an array', '[]'],
    ['a number', '1'],
    ['a text', '"text"'],
    ['half an object', '{"'],
    ['two objects', '{}{}'],
    ['nothing', ''],
    ['a page', '<html>access_token=evil&</html>'],
    ['a form', 'access_token=evil&token_type=bearer'],
    ['a byte order mark in front', '\ufeff{"ok":true}'],
    ['a depth of 100,000', '['.repeat(100_000)],
  ])('has no body if it is %s', async (_what, text) => {
    const server = await serverOf((socket) => socket.write(answerOf(text)))
    expect(await send(server)).toMatchObject({ status: 200, body: undefined })
  })

  test('has no body if it is not UTF-8, because a replaced character would be another name', async () => {
    const bytes = Buffer.concat([Buffer.from('{"email":"a'), Buffer.from([0xff]), Buffer.from('@x.co"}')])
    const server = await serverOf((socket) => socket.write(answerOf(bytes)))
    expect((await send(server)).body).toBeUndefined()
  })

  test('stays whole when its characters are split across packets', async () => {
    const body = Buffer.from('{"name":"Zoë 漢字 😀"}')
    const server = await serverOf(async (socket) => {
      socket.setNoDelay(true)
      const [head = ''] = answerOf(body).toString('latin1').split('\r\n\r\n')
      socket.write(`${head}\r\n\r\n`)
      for (const byte of body) {
        socket.write(Buffer.from([byte]))
        await wait(1)
      }
    })
    expect((await send(server)).body).toEqual({ name: 'Zoë 漢字 😀' })
  })

  test('is read to the end when it is chunked', async () => {
    const server = await serverOf((socket) =>
      socket.write(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"ok"\r\n6\r\n:true}\r\n0\r\n\r\n'.replace(
          '5\r',
          '5\r',
        ),
      ),
    )
    expect((await send(server)).body).toEqual({ ok: true })
  })

  test('pollutes nothing with __proto__', async () => {
    const server = await serverOf((socket) => socket.write(answerOf('{"__proto__":{"admin":true}}')))
    const { body } = await send(server)
    expect(body?.admin).toBeUndefined()
    expect(({} as Record<string, unknown>).admin).toBeUndefined()
  })
})

describe.each(WAYS)('through %s, a request', (_way, options) => {
  beforeEach(() => {
    way = options
  })

  test('asks for uncompressed JSON and sends the given headers and body', async () => {
    const server = await serverOf((socket) => socket.write(OK))
    await send(server)
    await send(server, { method: 'POST', body: 'a=é' })
    const [get = '', post = ''] = server.requests.map(({ text }) => text.toLowerCase())
    expect(get).toMatch(/^get \/2\.0\/user http\/1\.1\r\n/)
    for (const text of [get, post]) {
      expect(text).toContain('\r\naccept: application/json\r\n')
      expect(text).toContain('\r\naccept-encoding: identity\r\n')
      expect(text).toContain('\r\nauthorization: bearer t0ken\r\n')
    }
    expect(post).toContain('\r\ncontent-length: 4\r\n')
    expect(get).not.toContain('content-length')
    expect(post).not.toContain('transfer-encoding')
  })

  test('follows no redirect, so that no other host receives a token or the secret', async () => {
    const evil = await serverOf((socket) => socket.write(OK))
    for (const status of ['301 Moved', '302 Found', '303 See', '307 Temporary', '308 Permanent']) {
      const location = { Location: evil.url.href, Refresh: `0; url=${evil.url.href}` }
      const server = await serverOf((socket) => socket.write(answerOf('{"access_token":"evil"}', location, status)))
      expect((await send(server)).status).toBe(Number(status.slice(0, 3)))
    }
    expect(evil.opened).toBe(0)
  })
})

describe.each(WAYS)('through %s, a malformed answer', (_way, options) => {
  beforeEach(() => {
    way = options
  })

  const garbage: readonly (readonly [string, (socket: Socket) => void])[] = [
    ['a body that is cut off', (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok":true}')],
    [
      'chunks without an end',
      (socket) => socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{"ok":true'),
    ],
    [
      'a broken chunk',
      (socket) => socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n'),
    ],
    ['half a head', (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-')],
    ['another protocol', (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
    ['a head of 200 kB', (socket) => socket.end(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(200_000)}\r\n\r\n`)],
    ['two lengths', (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}')],
    [
      'a length and chunks',
      (socket) =>
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n'),
    ],
    [
      'a switch of protocols',
      (socket) => socket.write('HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'),
    ],
    ['gzip', (socket) => socket.write(answerOf(gzipSync('{"ok":true}'), { 'Content-Encoding': 'gzip' }))],
    ['brotli by name only', (socket) => socket.write(answerOf('{"ok":true}', { 'Content-Encoding': 'br' }))],
  ]

  test.each(garbage)('%s fails with upstream_failed', async (_what, write) => {
    const server = await serverOf((socket) => write(socket))
    expect(await refusal(send(server))).toBe('upstream_failed')
  })

  test('is not requested again when a reset cuts off its body', async () => {
    const server = await serverOf((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok"')
      setTimeout(() => socket.resetAndDestroy(), 20)
    })
    expect(await refusal(send(server))).toBe('upstream_failed')
    expect(server.requests).toHaveLength(1)
  })

  test('a closed port fails with upstream_failed', async () => {
    const server = await startRawServer(() => {})
    await server.close()
    expect(await refusal(send(server))).toBe('upstream_failed')
  })

  test('appears nowhere in the error', async () => {
    const secret = 'upstream-words'
    for (const write of [
      (socket: Socket) => socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"${secret}":1`),
      (socket: Socket) => socket.end(`${secret}\r\n\r\n`),
      (socket: Socket) => socket.write(answerOf(secret, { 'Content-Encoding': secret })),
    ]) {
      const server = await serverOf((socket) => write(socket))
      const error = (await send(server).catch((thrown: unknown) => thrown)) as Error
      expect(error).toBeInstanceOf(BitbucketSignInError)
      expect(`${error.stack}${JSON.stringify(error)}`).not.toContain(secret)
      expect(error.cause).toBeUndefined()
    }
  })

  test('early hints are ignored', async () => {
    const server = await serverOf((socket) => {
      socket.write('HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Wait\r\n\r\n')
      socket.write(OK)
    })
    expect(await send(server)).toMatchObject({ status: 200, body: { ok: true } })
  })
})

describe.each(WAYS)('through %s, the size limit', (_way, options) => {
  beforeEach(() => {
    way = options
  })

  const object = (bytes: number) => `{"x":"${'x'.repeat(bytes - 8)}"}`

  test('accepts one MiB and refuses one byte more', async () => {
    const fits = await serverOf((socket) => socket.write(answerOf(object(1024 * 1024))))
    expect((await send(fits)).body).toHaveProperty('x')
    const over = await serverOf((socket) => socket.write(answerOf(object(1024 * 1024 + 1))))
    expect(await refusal(send(over))).toBe('upstream_failed')
  })

  test('closes the connection of an endless answer without using memory', async () => {
    let written = 0
    const block = Buffer.alloc(64 * 1024, ' ')
    const server = await serverOf((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n')
      const pour = () => {
        while (!socket.destroyed) {
          written += block.length
          if (!socket.write(block)) return socket.once('drain', pour)
        }
        return undefined
      }
      pour()
    })
    const before = process.memoryUsage().rss
    expect(await refusal(send(server))).toBe('upstream_failed')
    await vi.waitFor(() => expect(server.open).toBe(0))
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024)
    // The buffers of the operating system come on top of the megabyte.
    expect(written).toBeLessThan(32 * 1024 * 1024)
  })
})

describe.each(WAYS)('through %s, the deadline', (_way, options) => {
  beforeEach(() => {
    way = options
  })

  const TIMEOUT = new BitbucketSignInError('upstream_timeout', 'too late')
  const stalling: readonly (readonly [string, (socket: Socket) => void])[] = [
    ['before the head', () => {}],
    ['in the head', (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-')],
    ['in the body', (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok"')],
    [
      'byte by byte',
      async (socket) => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n')
        while (!socket.destroyed) {
          socket.write(' ')
          await wait(5)
        }
      },
    ],
  ]

  test.each(stalling)('ends an answer that stalls %s, together with its connection', async (_where, stall) => {
    const server = await serverOf((socket) => stall(socket))
    const deadline = deadlineOf()
    const work = refusal(send(server, { deadline }))
    await vi.waitFor(() => expect(server.requests).toHaveLength(1))
    await wait(30)
    deadline.cancel(TIMEOUT)
    expect(await Promise.race([work, turns(200)])).toBe('upstream_timeout')
    await vi.waitFor(() => expect(server.open).toBe(0))
    expect(server.requests).toHaveLength(1)
  })

  test('sends nothing once it has passed', async () => {
    const server = await serverOf((socket) => socket.write(OK))
    const deadline = deadlineOf()
    deadline.cancel(TIMEOUT)
    expect(await refusal(send(server, { deadline }))).toBe('upstream_timeout')
    expect(server.opened).toBe(0)
  })

  test('ends a request that waits for one of 50 connections', async () => {
    const held: Socket[] = []
    const server = await serverOf((socket) => held.push(socket))
    const transport = transportOf()
    const running = Array.from({ length: 50 }, () => send(server, { transport }))
    await vi.waitFor(() => expect(server.requests).toHaveLength(50))
    const deadline = deadlineOf()
    const queued = refusal(send(server, { transport, deadline }))
    await wait(30)
    expect(server.opened).toBe(50)
    deadline.cancel(TIMEOUT)
    expect(await queued).toBe('upstream_timeout')
    for (const socket of held) socket.write(OK)
    expect((await Promise.all(running)).every(({ status }) => status === 200)).toBe(true)
    expect(server.requests).toHaveLength(50)
  })

  test('is removed from every request that has ended', async () => {
    const server = await serverOf((socket, { number }) => (number === 3 ? socket.end('x') : socket.write(OK)))
    const transport = transportOf()
    const deadline = deadlineOf()
    const added = vi.spyOn(deadline, 'add')
    const removed = vi.spyOn(deadline, 'remove')
    for (let request = 0; request < 5; request++) await send(server, { transport, deadline }).catch(() => {})
    expect(added).toHaveBeenCalledTimes(5)
    for (const [cancel] of added.mock.calls) expect(removed).toHaveBeenCalledWith(cancel)
  })
})

describe.each(WAYS)('through %s, a reset before the answer', (_way, options) => {
  beforeEach(() => {
    way = options
  })

  const endings: readonly (readonly [string, (socket: Socket) => void])[] = [
    ['a reset', (socket) => socket.resetAndDestroy()],
    ['a quiet end', (socket) => socket.end()],
  ]

  test.each(endings)('%s: retries a GET once', async (_what, end) => {
    const server = await serverOf((socket, { number }) => (number === 1 ? end(socket) : socket.write(OK)))
    expect((await send(server)).body).toEqual({ ok: true })
    expect(server.requests).toHaveLength(2)
  })

  test.each(endings)('%s: does not retry a GET twice', async (_what, end) => {
    const server = await serverOf((socket) => end(socket))
    expect(await refusal(send(server))).toBe('upstream_failed')
    expect(server.requests).toHaveLength(2)
  })

  test.each(endings)('%s: never retries a POST, because a code is valid once', async (_what, end) => {
    const server = await serverOf((socket) => end(socket))
    expect(await refusal(send(server, { method: 'POST', body: 'code=c0de' }))).toBe('upstream_failed')
    expect(server.requests).toHaveLength(1)
  })

  test('does not retry a POST on a kept connection', async () => {
    const server = await serverOf((socket, { number }) => (number === 1 ? socket.write(OK) : socket.resetAndDestroy()))
    const transport = transportOf()
    await send(server, { transport })
    await turn()
    expect(await refusal(send(server, { transport, method: 'POST', body: 'code=c0de' }))).toBe('upstream_failed')
    expect(server.requests).toHaveLength(2)
    expect(new Set(server.requests.map(({ connection }) => connection)).size).toBe(1)
  })

  test('retries nothing after the deadline', async () => {
    const deadline = deadlineOf()
    const server = await serverOf((socket) => {
      deadline.cancel(new BitbucketSignInError('upstream_timeout', 'too late'))
      socket.resetAndDestroy()
    })
    expect(await refusal(send(server, { deadline }))).toBe('upstream_timeout')
    expect(server.requests).toHaveLength(1)
  })
})

/** Answers the look-up of any host with its IPv4 address, and a dead IPv6 address before or after it. */
function dualStack(order: 'IPv4 first' | 'IPv6 first'): void {
  const lookup = vi.spyOn(dns, 'lookup') as unknown as MockInstance<(...args: unknown[]) => void>
  lookup.mockImplementation((...args) => {
    const done = args.at(-1) as (error: null, found: object[]) => void
    const found = [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ]
    process.nextTick(() => done(null, order === 'IPv4 first' ? found : found.reverse()))
  })
  closers.push(() => lookup.mockRestore())
}

/**
 * A server on IPv4 that takes its first connection after a second: it is busy, its queue is full, and the kernel drops
 * what comes, which the client repeats after a second.
 */
async function slowServer(): Promise<URL> {
  const script = `
    const server = require('node:http').createServer((_, res) => res.end('{"ok":true}'))
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      require('node:fs').writeSync(1, String(server.address().port))
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 700)
    })`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  closers.push(() => child.kill('SIGKILL'))
  const [port] = (await once(child.stdout, 'data')) as [Buffer]
  for (let filler = 0; filler < 4; filler++) {
    const socket = connect(Number(port), '127.0.0.1').on('error', () => {})
    closers.push(() => socket.destroy())
  }
  await wait(50)
  return new URL(`http://dual.localhost:${port}/2.0/user`)
}

describe.each(WAYS)('through %s', (_way, options) => {
  beforeEach(() => {
    way = options
  })

  test('case 23: sends the package name in the User-Agent', async () => {
    const server = await serverOf((socket) => socket.write(OK))
    await send(server)
    await send(server, { method: 'POST', body: 'code=c0de' })
    const { version } = require('../../package.json') as { version: string }
    for (const { text } of server.requests) {
      expect(text.match(/^user-agent: .*$/gim)).toEqual([
        expect.stringMatching(new RegExp(`^user-agent: passport-bitbucket-signin/${version}$`, 'i')),
      ])
    }
  })
})

// Node's limit of 250 ms for an address does not apply to the last one that it tries.
test.each(['IPv4 first', 'IPv6 first'] as const)(
  'case 24: %s: connects over IPv4 when it needs a second',
  async (order) => {
    dualStack(order)
    const needed = WAYS.map(async ([, options]) => {
      const url = await slowServer()
      const transport = transportOf(options())
      const start = performance.now()
      expect((await send({ url }, { transport })).body).toEqual({ ok: true })
      return performance.now() - start
    })
    // The control: neither was open within the 250 ms that Node gives an address.
    for (const ms of await Promise.all(needed)) expect(ms).toBeGreaterThan(500)
  },
)

test('case 18: ends a connection attempt with its request', async () => {
  const sockets = new Set<Socket>()
  const silent = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.resume()
  })
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  closers.push(() => silent.close())
  const url = new URL(`https://127.0.0.1:${(silent.address() as AddressInfo).port}/`)
  const transport = transportOf({ timeoutMs: 1000 })
  transport.preconnect(url, 2)
  const refused = Array.from({ length: 60 }, () => refusal(send({ url }, { transport, deadline: deadlineOf(1000) })))
  await vi.waitFor(() => expect(sockets.size).toBe(50))
  expect(new Set(await Promise.all(refused))).toEqual(new Set(['upstream_timeout']))
  await vi.waitFor(() => expect(sockets.size).toBe(0), { timeout: 2000 })
})

describe.each(WAYS)('through %s, unsolicited bytes', (_way, options) => {
  beforeEach(() => {
    way = options
  })

  test('after an answer never answer the next request', async () => {
    const server = await serverOf((socket, { number }) => {
      socket.write(number === 1 ? Buffer.concat([OK, EVIL]) : answerOf('{"uuid":"genuine"}'))
    })
    const transport = transportOf()
    expect((await send(server, { transport })).body).toEqual({ ok: true })
    const next = send(server, { transport })
    expect(await next.then(({ body }) => body)).toEqual({ uuid: 'genuine' })
  })

  test('on an idle connection never answer the next request', async () => {
    const server = await serverOf((socket, { number }) => {
      socket.write(number === 1 ? OK : answerOf('{"uuid":"genuine"}'))
      if (number === 1) setTimeout(() => socket.write(EVIL), 20)
    })
    const transport = transportOf()
    await send(server, { transport })
    await wait(60)
    expect((await send(server, { transport })).body).toEqual({ uuid: 'genuine' })
  })
})

describe('connections', () => {
  test('end after an unsolicited 100 Continue', async () => {
    const server = await serverOf((socket) => {
      socket.write('HTTP/1.1 100 Continue\r\n\r\n')
      socket.write(OK)
    })
    expect(await refusal(send(server, { method: 'POST', body: 'code=c0de' }))).toBe('upstream_failed')
    expect(server.requests).toHaveLength(1)
  })

  test('end before anything is sent if the certificate is not trusted', async () => {
    let received = 0
    const server = https.createServer({ key: CERTIFICATE_KEY, cert: CERTIFICATE }, () => received++)
    server.on('tlsClientError', () => {})
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closers.push(() => server.close())
    const url = new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    const transport = transportOf()
    expect(await refusal(send({ url }, { transport }))).toBe('upstream_failed')
    transport.preconnect(url, 1)
    await wait(50)
    expect(await refusal(send({ url }, { transport, method: 'POST', body: 'code=c0de' }))).toBe('upstream_failed')
    expect(received).toBe(0)
  })

  test('are reused: ten sequential requests need one, three concurrent ones three', async () => {
    const server = await serverOf((socket) => socket.write(OK))
    const transport = transportOf()
    for (let request = 0; request < 10; request++) {
      await send(server, { transport })
      await turn()
    }
    expect(server.opened).toBe(1)
    await Promise.all([1, 2, 3].map(() => send(server, { transport })))
    expect(server.opened).toBe(3)
  })

  test('are not reused if the server closes them', async () => {
    const server = await serverOf((socket) => socket.end(answerOf('{}', { Connection: 'close' })))
    const transport = transportOf()
    for (let request = 0; request < 3; request++) await send(server, { transport })
    expect(server.opened).toBe(3)
  })

  test.each([
    ['15 seconds', {}, 13_000, 17_000],
    ['the server’s own hint, less a second', { 'Keep-Alive': 'timeout=10' }, 7000, 11_000],
    ['15 seconds, where the server would wait longer', { 'Keep-Alive': 'timeout=60' }, 13_000, 17_000],
  ])('are closed after %s', async (_what, headers, stillMs, tooLateMs) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    closers.push(() => vi.useRealTimers())
    const server = await serverOf((socket) => socket.write(answerOf('{}', headers)))
    const transport = transportOf()
    const idle = async (ms: number) => {
      await turn()
      vi.advanceTimersByTime(ms)
      await wait(20)
    }
    await Promise.all([send(server, { transport }), send(server, { transport })])
    await idle(stillMs)
    expect([server.opened, server.open]).toEqual([2, 2])
    await send(server, { transport, method: 'POST', body: 'code=c0de' })
    expect(server.opened).toBe(2)
    await idle(tooLateMs)
    expect([server.opened, server.open]).toEqual([2, 0])
    await send(server, { transport, method: 'POST', body: 'code=c0de' })
    expect(server.opened).toBe(3)
  })

  test('are not reused if the server would close them within a second', async () => {
    const server = await serverOf((socket) => socket.write(answerOf('{}', { 'Keep-Alive': 'timeout=1' })))
    const transport = transportOf()
    await send(server, { transport })
    await send(server, { transport, method: 'POST', body: 'code=c0de' })
    expect(server.opened).toBe(2)
  })

  test('are not reused after the server closed them', async () => {
    const server = await serverOf((socket) => {
      socket.write(OK)
      setTimeout(() => socket.end(), 10)
    })
    const transport = transportOf()
    await send(server, { transport })
    await wait(50)
    expect((await send(server, { transport, method: 'POST', body: 'code=c0de' })).status).toBe(200)
    expect(server.opened).toBe(2)
  })

  test('are closed by close() when idle', async () => {
    const server = await serverOf((socket) => socket.write(OK))
    const transport = transportOf()
    await send(server, { transport })
    expect(server.open).toBe(1)
    transport.close()
    await vi.waitFor(() => expect(server.open).toBe(0))
  })

  test("are replaced by the app's own agent", async () => {
    const server = await serverOf((socket) => socket.write(OK))
    const agent = new http.Agent({ keepAlive: true })
    closers.push(() => agent.destroy())
    const createConnection = vi.spyOn(agent, 'createConnection' as never)
    const transport = transportOf({ agent })
    transport.preconnect(server.url, 2)
    await send(server, { transport })
    expect(createConnection).toHaveBeenCalledTimes(1)
    expect(server.opened).toBe(1)
  })
})

describe('connections opened ahead', () => {
  test('never take unsolicited bytes for the first answer', async () => {
    const server = await serverOf(
      (socket, { connection }) => {
        if (connection > 1) socket.write(answerOf('{"uuid":"genuine"}'))
      },
      (socket, connection) => {
        if (connection === 1) socket.write(EVIL)
      },
    )
    const transport = transportOf()
    transport.preconnect(server.url, 1)
    await wait(60)
    const answer = await send(server, { transport }).then(
      ({ body }) => body,
      (error: BitbucketSignInError) => error.code,
    )
    expect(answer).toEqual({ uuid: 'genuine' })
  })

  test('send nothing, and carry the first requests', async () => {
    const server = await serverOf((socket) => socket.write(OK))
    const transport = transportOf()
    transport.preconnect(server.url, 2)
    await vi.waitFor(() => expect(server.opened).toBe(2))
    await wait(30)
    expect(server.requests).toHaveLength(0)
    await Promise.all([send(server, { transport }), send(server, { transport })])
    expect(server.opened).toBe(2)
    expect(new Set(server.requests.map(({ connection }) => connection)).size).toBe(2)
  })

  test('are not opened while one is waiting, opening or free', async () => {
    const server = await serverOf((socket) => socket.write(OK))
    const transport = transportOf()
    for (let start = 0; start < 10; start++) transport.preconnect(server.url, 1)
    await vi.waitFor(() => expect(server.opened).toBe(1))
    transport.preconnect(server.url, 1)
    await send(server, { transport })
    transport.preconnect(server.url, 1)
    await wait(30)
    expect(server.opened).toBe(1)
  })

  test('are not opened if the app disables them', async () => {
    const server = await serverOf((socket) => socket.write(OK))
    transportOf({ preconnect: false }).preconnect(server.url, 2)
    await wait(30)
    expect(server.opened).toBe(0)
  })

  test('are replaced if the server closes them', async () => {
    const server = await serverOf(
      (socket) => socket.write(OK),
      (socket, connection) => {
        if (connection === 1) setTimeout(() => socket.end(), 10)
      },
    )
    const transport = transportOf()
    transport.preconnect(server.url, 1)
    await vi.waitFor(() => expect(server.opened).toBe(1))
    await wait(50)
    expect((await send(server, { transport, method: 'POST', body: 'code=c0de' })).status).toBe(200)
    expect(server.opened).toBe(2)
    await turn()
    transport.preconnect(server.url, 1)
    await wait(30)
    expect(server.opened).toBe(2)
  })

  test('cause no error if nothing answers', async () => {
    const server = await startRawServer(() => {})
    await server.close()
    const transport = transportOf()
    transport.preconnect(server.url, 2)
    await wait(30)
    expect(await refusal(send(server, { transport }))).toBe('upstream_failed')
  })

  test('are closed by close()', async () => {
    const server = await serverOf((socket) => socket.write(OK))
    const transport = transportOf()
    transport.preconnect(server.url, 2)
    await vi.waitFor(() => expect(server.open).toBe(2))
    transport.close()
    await vi.waitFor(() => expect(server.open).toBe(0))
  })
})

describe('requests ahead of need', () => {
  /** A server that answers when it is told to, and a transport with this many requests under way. */
  async function busyWith(underWay: number) {
    const held: Socket[] = []
    const server = await serverOf((socket) => held.push(socket))
    const transport = transportOf()
    for (let number = 0; number < underWay; number++) void send(server, { transport, path: '/busy' }).catch(() => {})
    await vi.waitFor(() => expect(server.requests).toHaveLength(underWay))
    const pathOf = ({ text }: { text: string }) => /^\w+ (\S+)/.exec(text)?.[1]
    const answer = (count: number) => {
      for (const socket of held.splice(0, count)) socket.write(OK)
    }
    const received = () => server.requests.slice(underWay).map(pathOf)
    return {
      ask: (path: string, more: Sending = {}) => send(server, { transport, path, ...more }).catch(() => null),
      answer,
      /** Paths in the order in which they were received, after those that were under way. */
      received,
      /** One answer at a time makes room for these, one after the other. */
      answersInTurn: async (paths: readonly string[]) => {
        for (let count = 1; count <= paths.length; count++) {
          answer(1)
          await vi.waitFor(() => expect(received()).toEqual(paths.slice(0, count)))
        }
      },
      /** All that could have been sent has been received: this request has a transport to itself. */
      settle: async () => {
        const answered = send(server)
        await vi.waitFor(() => expect(pathOf(server.requests.at(-1) as never)).toBe('/2.0/user'))
        held.pop()?.write(OK)
        await answered
      },
    }
  }

  test('run after requests that are needed, which keep their order', async () => {
    const host = await busyWith(50)
    void host.ask('/emails', { need: new Need() })
    void host.ask('/user1')
    void host.ask('/user2')
    await host.answersInTurn(['/user1', '/user2'])
    host.answer(50)
    await vi.waitFor(() => expect(host.received()).toEqual(['/user1', '/user2', '/emails']))
  })

  test('begin while fewer than 25 are under way, needed ones while fewer than 50 are', async () => {
    const host = await busyWith(24)
    void host.ask('/emails1', { need: new Need() })
    void host.ask('/emails2', { need: new Need() })
    void host.ask('/user')
    await host.settle()
    expect(
      host
        .received()
        .filter((path) => path !== '/2.0/user')
        .sort(),
    ).toEqual(['/emails1', '/user'])
    host.answer(2)
    await vi.waitFor(() => expect(host.received()).toContain('/emails2'))
  })

  test('no longer yield once they are needed', async () => {
    const host = await busyWith(50)
    const need = new Need()
    void host.ask('/emails', { need })
    void host.ask('/user1')
    need.begin()
    void host.ask('/user2')
    await host.answersInTurn(['/user1', '/emails', '/user2'])
  })

  test('are never sent if the response is complete before their turn', async () => {
    const host = await busyWith(50)
    const deadline = deadlineOf()
    const emails = host.ask('/emails', { need: new Need(), deadline })
    deadline.release()
    expect(await emails).toBeNull()
    void host.ask('/user')
    host.answer(50)
    await vi.waitFor(() => expect(host.received()).toEqual(['/user']))
  })

  test('are not even passed to the pool if their exchange ends, which makes room for them', async () => {
    const host = await busyWith(24)
    const deadline = deadlineOf()
    const first = host.ask('/user', { deadline })
    await vi.waitFor(() => expect(host.received()).toEqual(['/user']))
    const emails = host.ask('/emails', { need: new Need(), deadline })
    // Control: a request of another exchange takes the room.
    void host.ask('/others', { need: new Need() })
    // Some releases of undici send on an idle connection synchronously.
    const { prototype } = createRequire(__filename)('undici/lib/dispatcher/pool') as typeof Pool
    const dispatch = vi.spyOn(prototype, 'dispatch')
    closers.push(() => dispatch.mockRestore())
    deadline.cancel(new BitbucketSignInError('upstream_timeout', 'ended'))
    expect([await first, await emails]).toEqual([null, null])
    await vi.waitFor(() => expect(host.received()).toContain('/others'))
    expect(dispatch.mock.calls.map(([{ path }]) => path)).toEqual(['/others'])
  })

  test('yield to a needed one while under way if the response is complete', async () => {
    const host = await busyWith(0)
    const deadline = deadlineOf()
    const emails = host.ask('/emails', { need: new Need(), deadline })
    for (let number = 1; number < 50; number++) void host.ask('/busy')
    void host.ask('/user')
    await vi.waitFor(() => expect(host.received()).toHaveLength(50))
    expect(host.received()).not.toContain('/user')
    deadline.release()
    expect(await emails).toBeNull()
    await vi.waitFor(() => expect(host.received().at(-1)).toBe('/user'))
  })
})

test("an app's agent that cannot speak https is reported as a setup mistake", async () => {
  const agent = new http.Agent()
  closers.push(() => agent.destroy())
  const url = new URL('https://127.0.0.1:1/')
  const work = send({ url }, { transport: transportOf({ agent }) })
  await expect(work).rejects.toMatchObject({
    code: 'configuration_invalid',
    message: expect.stringMatching(/http\.agent.*https\.Agent/),
  })
})
