import net = require('node:net')

import { FAKE_CLIENT, type FakeBitbucketOptions, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { describe, expect, it } from 'vitest'
import { CERTIFICATE, CERTIFICATE_KEY } from './certificate'
import { get, send, tokenOf } from './client'

describe('startFakeBitbucket()', () => {
  it('listens on a free port of 127.0.0.1 and returns all URLs', async () => {
    const fake = await startFakeBitbucket()
    expect(fake.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(fake.endpoints).toEqual({
      authorizationURL: `${fake.url}/site/oauth2/authorize`,
      tokenURL: `${fake.url}/site/oauth2/access_token`,
      apiURL: `${fake.url}/2.0`,
    })
    await fake.close()
  })

  it('speaks https with a key and a certificate, in all URLs', async () => {
    const fake = await startFakeBitbucket({ tls: { key: CERTIFICATE_KEY, cert: CERTIFICATE }, host: 'localhost' })
    expect(fake.url).toMatch(/^https:\/\/localhost:\d+$/)
    expect((await send(fake.url, { ca: CERTIFICATE })).status).toBe(200)
    expect(fake.requests[0]?.connection).toBe(1)
    expect(fake.connectionsOpened).toBe(1)
    await fake.close()
  })

  it('adds the latency to each answer', async () => {
    const fake = await startFakeBitbucket({ latencyMs: 60 })
    const start = performance.now()
    await send(fake.url)
    expect(performance.now() - start).toBeGreaterThan(55)
    await fake.close()
  })

  it('accepts users, clients and switches', async () => {
    const fake = await startFakeBitbucket({
      people: [{ key: 'zoë', emails: [{ address: 'a@example.com' }] }],
      clients: [{ ...FAKE_CLIENT, scopes: ['account', 'email', 'wiki'] }],
      behaviour: { links: 'array' },
    })
    const token = await tokenOf(fake, 'zoë')
    expect((await get(fake, '/user', token)).json()).toMatchObject({ display_name: 'Zoë', links: { self: [{}] } })
    expect((await get(fake, '/user/emails', token)).json().values).toMatchObject([
      { is_primary: false, is_confirmed: true },
    ])
    await fake.close()
  })

  it('gives a user the same ids after a restart, and different users different ones', async () => {
    const [first, second] = [await startFakeBitbucket(), await startFakeBitbucket()]
    expect(first.person('alice').uuid).toBe(second.person('alice').uuid)
    expect(new Set(first.people.map(({ uuid }) => uuid)).size).toBe(first.people.length)
    await Promise.all([first.close(), second.close()])
  })

  it('explains the fix when the port is in use', async () => {
    const fake = await startFakeBitbucket()
    const port = Number(new URL(fake.url).port)
    await expect(startFakeBitbucket({ port })).rejects.toThrow(`Port ${port} on 127.0.0.1 is taken. Choose another`)
    await fake.close()
  })

  it('explains the fix when the address is not of this machine', async () => {
    await expect(startFakeBitbucket({ host: '192.0.2.1' })).rejects.toThrow(
      '192.0.2.1 is not an address of this machine',
    )
  })

  it.each<[string, unknown, string]>([
    ['an unknown option', { persons: [] }, 'startFakeBitbucket() has no "persons".'],
    ['a misspelt option', { latency: 5 }, 'Did you mean "latencyMs"?'],
    ['a port that is none', { port: 70_000 }, '"port" must be a whole number'],
    ['a latency that is none', { latencyMs: Number.NaN }, '"latencyMs" must be a number'],
    ['half of TLS', { tls: { key: 'x' } }, '"tls" needs "key" and "cert"'],
    ['people that are not an array', { people: {} }, '"people" must be an array.'],
    ['a person without a key', { people: [{ displayName: 'A' }] }, `A person's "key" must be a non-empty string.`],
    ['a person that is none', { people: ['alice'] }, 'A person must be an object such as { "key": "alice" }.'],
    ['two people with one key', { people: [{ key: 'a' }, { key: 'a' }] }, 'There is a person "a" already.'],
    ['a misspelt field', { people: [{ key: 'a', mails: [] }] }, 'Person "a" has no "mails". Did you mean "emails"?'],
    [
      'addresses that are not an array',
      { people: [{ key: 'a', emails: 'x' }] },
      '"emails" of person "a" must be an array.',
    ],
    ['an address as text', { people: [{ key: 'a', emails: ['x'] }] }, 'must be like { address: "a@example.com" }'],
    ['an address without one', { people: [{ key: 'a', emails: [{}] }] }, '"address" of an address of person "a"'],
    ['a flag of no address', { people: [{ key: 'a', emails: [{ address: 'x', verified: true }] }] }, 'no "verified"'],
    ['a uuid without braces', { people: [{ key: 'a', uuid: 'x' }] }, 'with braces, lower case'],
    [
      'one uuid twice',
      {
        people: [
          { key: 'a' },
          { key: 'b', uuid: '{11111111-1111-4111-8111-111111111111}' },
          { key: 'c', uuid: '{11111111-1111-4111-8111-111111111111}' },
        ],
      },
      '"c" has the uuid of "b".',
    ],
    ['a workspace as text', { people: [{ key: 'a', workspaces: ['x'] }] }, 'must be like { slug: "acme" }'],
    [
      'an old permission',
      { people: [{ key: 'a', workspaces: [{ slug: 'x', permission: 'collaborator' }] }] },
      'Use owner, create-project or member.',
    ],
    ['a client that is none', { clients: ['x'] }, 'A client must be an object'],
    ['a client without a secret', { clients: [{ clientID: 'x', callbackURL: null }] }, '"clientSecret" of client "x"'],
    ['a relative callback', { clients: [{ ...FAKE_CLIENT, callbackURL: '/cb' }] }, 'must be an absolute URL'],
    ['several callbacks', { clients: [{ ...FAKE_CLIENT, callbackURLs: [] }] }, 'Did you mean "callbackURL"?'],
    ['an unknown switch', { behaviour: { scope: 'ignore' } }, 'Did you mean "scopeParameter"?'],
    ['an unknown position', { behaviour: { pkce: 'on' } }, 'behaviour.pkce cannot be "on". Known: ignore, enforce.'],
    ['a switch of the wrong type', { behaviour: { codeSeconds: '5' } }, 'behaviour.codeSeconds must be a number.'],
  ])('refuses %s, and explains the fix', async (_what, options, message) => {
    await expect(startFakeBitbucket(options as FakeBitbucketOptions)).rejects.toThrow(message)
  })
})

describe('people and clients of a running fake', () => {
  it('are found, added, changed and removed by key', async () => {
    const fake = await startFakeBitbucket()
    expect(fake.addPerson({ key: 'zoë' }).emails).toEqual([
      { address: 'zoë@example.com', primary: true, confirmed: true },
    ])
    expect(fake.updatePerson('zoë', { emails: [] }).emails).toEqual([])
    expect(fake.updatePerson('zoë', { nickname: 'z' })).toMatchObject({ emails: [], nickname: 'z', username: 'zoë' })
    expect(fake.updatePerson('grace', { nickname: 'g' })).toMatchObject({ username: null, avatarUrl: null })
    fake.removePerson('zoë')
    expect(() => fake.person('zoë')).toThrow('There is no person "zoë".')
    expect(() => fake.updatePerson('zoë', {})).toThrow('addPerson() adds one.')
    expect(() => fake.removePerson('zoë')).toThrow('There is no person')
    expect(() => fake.updatePerson('alice', { key: 'x' } as never)).toThrow('A person keeps its key')
    expect(() => fake.updatePerson('alice', { uuid: fake.person('bob').uuid })).toThrow('has the uuid of "bob"')
    expect(fake.addClient({ clientID: 'x', clientSecret: 'y', callbackURL: null })).toEqual({
      clientID: 'x',
      clientSecret: 'y',
      callbackURL: null,
      name: 'x',
      scopes: ['account', 'email'],
      private: false,
    })
    await fake.close()
  })
})

describe('close()', () => {
  it('ends immediately, though requests stall and connections idle, and may be called again', async () => {
    const fake = await startFakeBitbucket({ latencyMs: 0 })
    const { port } = new URL(fake.url)
    const idle = net.connect(Number(port), '127.0.0.1')
    const idleEnded = new Promise((resolve) => idle.on('close', resolve).on('error', () => undefined))
    fake.script('user', { delivery: 'stall' })
    fake.script('emails', { delayMs: 60_000 })
    fake.script('workspaces', { json: 'x'.repeat(1000), slow: { everyMs: 1000 } })
    const open = ['/user', '/user/emails', '/user/workspaces'].map((path) =>
      expect(send(fake.endpoints.apiURL + path)).rejects.toThrow(),
    )
    await expect.poll(() => fake.count()).toBe(3)
    const start = performance.now()
    await fake.close()
    expect(performance.now() - start).toBeLessThan(1000)
    await Promise.all([...open, idleEnded])
    await fake.close()
    await expect(send(fake.url)).rejects.toThrow('ECONNREFUSED')
  })
})
