import type { Socket } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { atDeadline, GOOD_EMAILS, GOOD_TOKEN, GOOD_USER, jsonBytes, startRawLab } from '../support/lab'
import { check, client, LONG, TIMEOUT } from './cases'

const GOOD = { token: jsonBytes(GOOD_TOKEN), user: jsonBytes(GOOD_USER), emails: jsonBytes(GOOD_EMAILS) } as const
type Endpoint = keyof typeof GOOD

function endpointOf(path: string): Endpoint {
  if (path.startsWith('/token')) return 'token'
  return path.startsWith('/2.0/user/emails') ? 'emails' : 'user'
}

/** One change of the bytes of an answer, anywhere from its first to behind its last. */
type Change = (bytes: Buffer) => Buffer
const place = fc.nat(2 ** 20)
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(place, fc.nat(7)).map(([at, bit]) => (bytes: Buffer) => {
    const copy = Buffer.from(bytes)
    if (copy.length > 0) copy[at % copy.length] = (copy[at % copy.length] ?? 0) ^ (1 << bit)
    return copy
  }),
  fc.tuple(place, fc.nat(40)).map(([at, length]) => (bytes: Buffer) => {
    const from = at % (bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + length)])
  }),
  fc.tuple(place, fc.nat(200)).map(([at, length]) => (bytes: Buffer) => {
    const from = at % (bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, from + length), bytes.subarray(from)])
  }),
  fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 12 })).map(([at, more]) => (bytes: Buffer) => {
    const from = at % (bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, from), more, bytes.subarray(from)])
  }),
  fc
    .tuple(
      place,
      fc.constantFrom(
        ...[
          '\r\n',
          '\r\n\r\n',
          '\n',
          '\0',
          'transfer-encoding: chunked\r\n',
          'content-length: 5\r\n',
          '{',
          '"',
          '\\u0000',
        ],
        ...['HTTP/1.1 103 Early Hints\r\n\r\n', 'HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n'],
      ),
    )
    .map(([at, more]) => (bytes: Buffer) => {
      const from = at % (bytes.length + 1)
      return Buffer.concat([bytes.subarray(0, from), Buffer.from(more), bytes.subarray(from)])
    }),
)

const ends: Readonly<Record<string, (socket: Socket, bytes: Buffer) => unknown>> = {
  ends: (socket, bytes) => socket.end(bytes),
  'stays open': (socket, bytes) => socket.write(bytes),
  'is reset': (socket, bytes) => socket.write(bytes, () => socket.resetAndDestroy()),
  'never begins': (socket) => socket.resetAndDestroy(),
}

test(
  'any change of the bytes of an answer ends in time, in a valid sign-in or a refusal',
  async () => {
    let hostile: { endpoint: Endpoint; bytes: Buffer; end: string } | null = null
    let played = false
    const { lab, bitbucket } = await startRawLab((path, socket) => {
      const endpoint = endpointOf(path)
      if (endpoint !== hostile?.endpoint) return void socket.write(GOOD[endpoint])
      played = true
      ends[hostile.end]?.(socket, hostile.bytes)
    })
    const ask = client()
    const signIn = async () => {
      const started = await ask(lab.base)
      const cookie = started.setCookies.map((line) => line.split(';')[0]).join('; ')
      const state = new URL(started.location).searchParams.get('state') ?? ''
      return ask(lab.callbackURL({ code: 'raw-code', state }), { headers: { cookie } })
    }
    const seen = { '302': 0, refused: 0 }
    await check(
      fc.asyncProperty(
        fc.constantFrom<Endpoint>('token', 'user', 'emails'),
        fc.array(change, { minLength: 1, maxLength: 2 }),
        fc.constantFrom('ends', 'ends', 'ends', 'ends', 'stays open', 'is reset', 'never begins'),
        async (endpoint, changes, end) => {
          lab.accounts.users.clear()
          bitbucket.requests.length = 0
          const bytes = changes.reduce<Buffer>((so, each) => each(so), Buffer.from(GOOD[endpoint]))
          hostile = { endpoint, bytes, end }
          played = false
          const { status, location } = await atDeadline(signIn, () => played)
          hostile = null
          expect(lab.faults).toEqual([])
          if (status === 302) {
            seen['302']++
            expect(['/', '/auth/bitbucket/email']).toContain(location)
          } else {
            seen.refused++
            expect([500, 502, 503, 504]).toContain(status)
            expect(lab.accounts.users.size).toBe(0)
          }
          for (const { identities, name, email } of lab.accounts.users.values()) {
            expect(identities[0]?.id).toMatch(/^\{[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}$/)
            expect(name).not.toMatch(/[\p{Cc}\p{Cf}]/u)
            if (email !== null) expect(email).toMatch(/^[\x21-\x7e]+@[A-Za-z0-9.-]+$/)
          }
          // A code is sent once, and a token only as a header that is nothing but a token.
          expect(bitbucket.requests.filter((request) => request.startsWith('POST /token')).length).toBe(1)
          for (const request of bitbucket.requests.filter((each) => each.startsWith('GET'))) {
            expect(request).toMatch(/^authorization: Bearer [\x21-\x7e]+\r$/im)
            expect(request.match(/^[\w-]+: /gm)?.length).toBeLessThanOrEqual(6)
          }
        },
      ),
      150,
      4000,
    )
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(LONG ? 200 : 5)
    hostile = null
    lab.accounts.users.clear()
    expect((await signIn()).location).toBe('/')
    expect([...lab.accounts.users.values()][0]?.identities[0]?.id).toBe(GOOD_USER.uuid)
  },
  TIMEOUT,
)
