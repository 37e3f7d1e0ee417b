import { Agent, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import type { ErrorRequestHandler, Request, RequestHandler } from 'express'

import express5 = require('express')

import { Passport } from 'passport'
import {
  BitbucketSignInError,
  BitbucketStrategy,
  type BitbucketStrategyOptions,
  english,
  type PassportProfile,
} from 'passport-bitbucket-signin'
import { FAKE_CLIENT, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { TestBrowser } from '../support/browser'

const express4 = require('express-4') as typeof express5
const SECRET = FAKE_CLIENT.clientSecret

let fake: FakeBitbucket
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
const closers: (() => void)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) close()
  await fake.reset()
})

type Verify = (...args: never[]) => void
const idOf: Verify = (
  _access: string,
  _refresh: string,
  profile: PassportProfile,
  done: (e: null, u: object) => void,
) => done(null, { id: profile.id })

interface Site {
  readonly url: string
  readonly strategy: BitbucketStrategy
  /** The errors that reached the error handler. */
  readonly faults: unknown[]
  /** Start, consent and callback; the answer of the callback. */
  signIn(browser: TestBrowser, person: string): ReturnType<TestBrowser['get']>
  /** The address of the callback, ready to be called. */
  consent(browser: TestBrowser, person?: string): Promise<string>
}

interface SiteOptions {
  readonly express?: typeof express5
  readonly verify?: Verify
  readonly options?: Partial<BitbucketStrategyOptions> & Record<string, unknown>
  /** Give the instance to `authenticate` instead of its name. */
  readonly instance?: boolean
  readonly authenticate?: Record<string, unknown>
  /** Makes the strategy, for subclasses. */
  readonly make?: (...of: ConstructorParameters<typeof BitbucketStrategy>) => BitbucketStrategy
  /** A callback for `passport.authenticate` instead of the route. */
  readonly done?: (...args: unknown[]) => void
}

/** A site that uses the strategy alone, as the README of any strategy says. */
async function site({
  express = express5,
  verify = idOf,
  options,
  instance,
  authenticate,
  make = (...of) => new BitbucketStrategy(...of),
  done,
}: SiteOptions = {}): Promise<Site> {
  const app = express()
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const strategy = make(
    {
      clientID: FAKE_CLIENT.clientID,
      clientSecret: SECRET,
      callbackURL: `${url}/callback`,
      endpoints: fake.endpoints,
      ...options,
    },
    verify as (...args: unknown[]) => void,
  )
  const passport = new Passport()
  passport.use(strategy)
  const faults: unknown[] = []
  const guard = passport.authenticate((instance ? strategy : 'bitbucket') as string, {
    session: false,
    ...authenticate,
  }) as RequestHandler
  app.use(express.urlencoded({ extended: true }))
  app.get('/start', guard)
  if (done) app.get('/callback', passport.authenticate('bitbucket', done) as RequestHandler)
  app.all('/callback', guard, (req, res) => {
    res.json({ user: (req as Request & { user: object }).user })
  })
  const onError: ErrorRequestHandler = (error, _req, res, _next) => {
    faults.push(error)
    res.status(error.status ?? 500).send(`fault ${error.code}`)
  }
  app.use(onError)
  const consent = async (browser: TestBrowser, person = 'alice') =>
    fake.signIn((await browser.get(`${url}/start`)).location, { person })
  const signIn = async (browser: TestBrowser, person: string) => browser.get(await consent(browser, person))
  return { url, strategy, faults, consent, signIn }
}

const uuidOf = (person: string) => fake.person(person).uuid

describe.each([
  ['Express 4', express4],
  ['Express 5', express5],
] as const)('on %s', (_name, express) => {
  test.each([
    ['by its name', false],
    ['as an instance, which Passport does not clone', true],
  ])('given %s, keeps 50 interleaved sign-ins of two users apart', async (_how, instance) => {
    const { signIn } = await site({ express, instance })
    const people = Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? 'alice' : 'bob'))
    const answers = new Array<{ person: string; user: unknown }>(people.length)
    const queue = people.entries()
    const worker = async () => {
      for (const [index, person] of queue) {
        const { text } = await signIn(new TestBrowser(), person)
        answers[index] = { person, user: JSON.parse(text).user.id }
      }
    }
    await Promise.all(Array.from({ length: 20 }, worker))
    expect(answers).toEqual(people.map((person) => ({ person, user: uuidOf(person) })))
  })

  test('refuses a callback without a sign-in before sending anything, and leaves open sign-ins alone', async () => {
    const { url, consent } = await site({ express })
    const browser = new TestBrowser()
    const genuine = await consent(browser)
    const state = new URL(genuine).searchParams.get('state') ?? ''
    const code = fake.issueCode({ person: 'bob' })
    for (const query of [
      `code=${code}`,
      `code=${code}&state=`,
      `code=${code}&state=0${'A'.repeat(22)}`,
      `code=${code}&state=${state}x`,
      `code=${code}&state=${state}&state=${state}`,
      `code=${code}&code=${code}&state=${state}`,
      `code[a]=${code}&state=x`,
      `code=${code}&error=access_denied&state=x`,
      `code=${code}&state[a]=${state}`,
      `code=${code}&state=__proto__`,
      `code=${code}&state=${state}&iss=https%3A%2F%2Fevil.example`,
      `error=access_denied`,
      `state=x`,
    ]) {
      const { status } = await browser.get(`${url}/callback?${query}`)
      expect({ query, status }).toEqual({ query, status: 403 })
    }
    expect(fake.count('token')).toBe(0)
    expect((await browser.get(genuine)).json()).toEqual({ user: { id: uuidOf('alice') } })
  })

  test('accepts a callback by GET only, and spends nothing on POST and HEAD', async () => {
    const { consent } = await site({ express })
    const browser = new TestBrowser()
    const callback = await consent(browser)
    const { origin, pathname, searchParams } = new URL(callback)
    const fields = Object.fromEntries(searchParams)
    expect((await browser.post(callback, {})).status).toBe(403)
    expect((await browser.post(callback, fields)).status).toBe(403)
    expect((await browser.get(callback, { method: 'HEAD' })).status).toBe(403)
    // A form without a query is not a callback, and starts nothing that could be redeemed either.
    const posted = await browser.post(`${origin}${pathname}`, fields)
    expect(posted.text).not.toContain('user')
    expect(fake.count('token')).toBe(0)
    expect((await browser.get(callback)).status).toBe(200)
  })

  test('accepts one of several concurrent callbacks', async () => {
    const { consent } = await site({ express })
    const browser = new TestBrowser()
    const callback = await consent(browser)
    const answers = await Promise.all([1, 2, 3].map(() => browser.copy().get(callback)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 403, 403])
    expect(fake.count('token')).toBe(1)
  })

  test('treats a code on the start route as a callback, and refuses it without a sign-in', async () => {
    const { url } = await site({ express })
    const { status, location } = await new TestBrowser().get(`${url}/start?code=${fake.issueCode({ person: 'bob' })}`)
    expect({ status, location }).toEqual({ status: 403, location: '' })
    expect(fake.count()).toBe(0)
  })
})

describe('the start', () => {
  test.each([{}, { state: false, pkce: false, store: {}, sessionKey: 'x', proxy: true, customHeaders: {} }])(
    'has state and PKCE whatever the old options say (%j)',
    async (options) => {
      const { url } = await site({ options })
      const locations = await Promise.all(
        [1, 2].map(async () => new URL((await new TestBrowser().get(`${url}/start`)).location)),
      )
      for (const { searchParams } of locations) {
        expect(Object.fromEntries(searchParams)).toEqual({
          response_type: 'code',
          client_id: FAKE_CLIENT.clientID,
          redirect_uri: `${url}/callback`,
          scope: 'account email',
          state: expect.stringMatching(/^[\w-]{22}$/),
          code_challenge: expect.stringMatching(/^[\w-]{43}$/),
          code_challenge_method: 'S256',
        })
      }
      const [one, other] = locations.map(({ searchParams }) => searchParams)
      expect(one?.get('state')).not.toBe(other?.get('state'))
      expect(one?.get('code_challenge')).not.toBe(other?.get('code_challenge'))
    },
  )

  test('ignores parameters of the request and unknown options of the route', async () => {
    const stray = {
      redirect_uri: 'https://evil.example/cb',
      response_type: 'token',
      clientID: 'evil',
      scope: 'account',
    }
    const { url } = await site({ authenticate: stray })
    const query = 'redirect_uri=https://evil.example&client_id=evil&scope=all&response_type=token&code_challenge=x'
    const { location } = await new TestBrowser().get(`${url}/start?${query}`, {
      headers: { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' },
    })
    const { searchParams } = new URL(location)
    expect(searchParams.getAll('redirect_uri')).toEqual([`${url}/callback`])
    expect(searchParams.getAll('client_id')).toEqual([FAKE_CLIENT.clientID])
    expect(searchParams.getAll('scope')).toEqual(['account email'])
    expect(searchParams.getAll('response_type')).toEqual(['code'])
    expect(location).not.toContain('evil')
  })

  test.each([{ callbackURL: 'https://evil.example/cb' }, { scope: ['repository'] }])(
    'says where %j belongs when a route passes it',
    async (authenticate) => {
      const { url, faults } = await site({ authenticate })
      const { status, location } = await new TestBrowser().get(`${url}/start`)
      expect({ status, location }).toEqual({ status: 500, location: '' })
      expect(faults).toEqual([expect.objectContaining({ code: 'configuration_invalid' })])
    },
  )

  test.each(['fixed', '', true, 7, null, ['a'], new Map([['a', 1]])])(
    'refuses a state option of %j, because it would disable the check',
    async (state) => {
      const { url, faults } = await site({ authenticate: { state } })
      expect((await new TestBrowser().get(`${url}/start`)).status).toBe(500)
      expect(faults).toEqual([expect.objectContaining({ code: 'configuration_invalid' })])
    },
  )

  test('requests extra scopes after the two that are always requested', async () => {
    const { url } = await site({ options: { scope: ['repository', 'email'] } })
    const { location } = await new TestBrowser().get(`${url}/start`)
    expect(new URL(location).searchParams.get('scope')).toBe('account email repository')
  })

  test.each([
    ['without a response', { query: {}, headers: {} }],
    ['without a parsed query', { res: {}, headers: {} }],
  ])('says what is missing for %s, outside Express', (_what, request) => {
    const strategy = new BitbucketStrategy(
      { clientID: 'x', clientSecret: 'y', callbackURL: 'https://app.example/callback' },
      idOf as () => void,
    )
    const error = vi.fn()
    Object.assign(Object.create(strategy), { error }).authenticate(request as unknown as Request, {})
    expect(error).toHaveBeenCalledWith(
      expect.objectContaining({ code: 'configuration_invalid', message: expect.stringContaining('`req.res`') }),
    )
  })
})

describe('verify', () => {
  const profile = () => expect.objectContaining({ provider: 'bitbucket', id: uuidOf('alice') })
  const token = expect.stringMatching(/^\S{20,}$/)
  const params = expect.objectContaining({ token_type: 'bearer', expires_in: expect.any(Number) })

  /** Signs alice in and answers what `verify` got, `done` left out. */
  async function argumentsOf(make: (got: (...args: unknown[]) => void) => Verify, options = {}) {
    let seen: unknown[] = []
    const verify = make((...args) => {
      seen = args.slice(0, -1)
      ;(args.at(-1) as (error: null, user: object) => void)(null, { id: 'me' })
    })
    const { signIn } = await site({ verify, options })
    const answer = await signIn(new TestBrowser(), 'alice')
    expect(answer.json()).toEqual({ user: { id: 'me' } })
    return seen
  }

  test('receives the tokens and the profile with four parameters', async () => {
    const seen = await argumentsOf((got) => ((a, r, p, done) => got(a, r, p, done)) as Verify)
    expect(seen).toEqual([token, token, profile()])
  })

  test('receives the answer of the token endpoint as well with five', async () => {
    const seen = await argumentsOf((got) => ((a, r, q, p, done) => got(a, r, q, p, done)) as Verify)
    expect(seen).toEqual([token, token, params, profile()])
  })

  test('receives the request first with passReqToCallback, with five and with six', async () => {
    const request = expect.objectContaining({ url: expect.stringContaining('/callback') })
    const options = { passReqToCallback: true }
    const five = await argumentsOf((got) => ((q, a, r, p, done) => got(q, a, r, p, done)) as Verify, options)
    expect(five).toEqual([request, token, token, profile()])
    const six = await argumentsOf((got) => ((q, a, r, s, p, done) => got(q, a, r, s, p, done)) as Verify, options)
    expect(six).toEqual([request, token, token, params, profile()])
  })

  test('receives no profile with skipUserProfile, and none is requested', async () => {
    const seen = await argumentsOf((got) => ((a, r, p, done) => got(a, r, p, done)) as Verify, {
      skipUserProfile: true,
    })
    expect(seen.slice(0, 2)).toEqual([token, token])
    expect(seen[2]).toBeUndefined()
    expect(fake.count('user') + fake.count('emails')).toBe(0)
  })

  test('receives the addresses with their flags, and none when the permission is missing', async () => {
    const [, , found] = await argumentsOf((got) => ((a, r, p, done) => got(a, r, p, done)) as Verify)
    expect((found as PassportProfile).emails).toContainEqual({
      value: 'alice@example.com',
      primary: true,
      verified: true,
    })
    fake.script('emails', { status: 403, json: { type: 'error' } })
    const [, , without] = await argumentsOf((got) => ((a, r, p, done) => got(a, r, p, done)) as Verify)
    expect((without as PassportProfile).emails).toEqual([])
  })

  test('is not called when the addresses cannot be read for another reason', async () => {
    fake.script('emails', { status: 500 })
    const verify = vi.fn((_a, _r, _p, done) => done(null, { id: 'me' }))
    const { signIn, faults } = await site({ verify: ((a, r, p, d) => verify(a, r, p, d)) as Verify })
    expect((await signIn(new TestBrowser(), 'alice')).status).toBe(502)
    expect(faults).toEqual([expect.objectContaining({ code: 'upstream_failed' })])
    expect(verify).not.toHaveBeenCalled()
  })

  test('may refuse, fail or throw', async () => {
    const no = await site({ verify: ((_a, _r, _p, done: (e: null, u: false) => void) => done(null, false)) as Verify })
    expect((await no.signIn(new TestBrowser(), 'alice')).status).toBe(401)
    for (const verify of [
      ((_a, _r, _p, done: (e: Error) => void) => done(new Error('own'))) as Verify,
      ((_a, _r, _p, _done) => {
        throw new Error('own')
      }) as Verify,
    ]) {
      const broken = await site({ verify })
      expect((await broken.signIn(new TestBrowser(), 'alice')).status).toBe(500)
      expect(broken.faults).toEqual([expect.objectContaining({ message: 'own' })])
    }
  })

  test.each([undefined, null, 'route'])('lets no request pass by throwing or reporting %s', async (thrown) => {
    const throws: Verify = (_a, _r, _p, _done) => {
      throw thrown
    }
    const reports: Verify = (_a, _r, _p, done: (e: unknown) => void) => done(thrown)
    // Express takes these values for "continue" and "the next route".
    for (const verify of thrown ? [throws, reports] : [throws]) {
      const { signIn, faults } = await site({ verify })
      expect((await signIn(new TestBrowser(), 'alice')).status).toBe(500)
      expect(faults).toEqual([expect.objectContaining({ cause: thrown })])
    }
  })
})

describe("errors of the app's code reach its error handler, and the process continues", () => {
  const own = () => {
    throw new Error('own')
  }
  const accept: Verify = (_a, _r, _p, done: (e: null, u: object) => void) => done(null, { id: 'me' })
  const acceptLater: Verify = (_a, _r, _p, done: (e: null, u: object) => void) =>
    void setImmediate(() => done(null, { id: 'me' }))

  test.each<[string, SiteOptions]>([
    ['a callback of passport.authenticate', { verify: accept, done: own }],
    ['such a callback long after verify was called', { verify: acceptLater, done: own }],
    ['an async verify', { verify: (async () => own()) as Verify }],
    ['skipUserProfile', { options: { skipUserProfile: own } }],
    [
      'userProfile of a subclass',
      { make: (...of) => Object.assign(new BitbucketStrategy(...of), { userProfile: own }) },
    ],
    [
      'an async userProfile of a subclass',
      { make: (...of) => Object.assign(new BitbucketStrategy(...of), { userProfile: async () => own() }) },
    ],
    [
      'an async skipUserProfile',
      {
        options: { skipUserProfile: async (_token: string, _done: unknown) => own() } as NonNullable<
          SiteOptions['options']
        >,
      },
    ],
    [
      'a subclass that changes the profile',
      {
        make: (...of) =>
          new (class extends BitbucketStrategy {
            override userProfile(token: string) {
              super.userProfile(token, () => own())
            }
          })(...of),
      },
    ],
  ])('%s', async (_who, options) => {
    const { signIn, faults } = await site(options)
    expect((await signIn(new TestBrowser(), 'alice')).status).toBe(500)
    expect(faults).toEqual([expect.objectContaining({ message: 'own' })])
  })

  test.each<[string, SiteOptions]>([
    ['verify', { verify: (async (_a: string, _r: string, _p: object, _done: unknown) => Promise.reject()) as Verify }],
    [
      'userProfile',
      { make: (...of) => Object.assign(new BitbucketStrategy(...of), { userProfile: () => Promise.reject() }) },
    ],
  ])('%s that rejects without an error has failed, too', async (_who, options) => {
    const { signIn, faults } = await site({ verify: accept, ...options })
    expect((await signIn(new TestBrowser(), 'alice')).status).toBe(500)
    expect(faults).toEqual([expect.objectContaining({ message: expect.stringContaining('not an error') })])
  })

  test('an async getOAuthAccessToken of the app ends the request like its callback', async () => {
    const { strategy, signIn, faults } = await site()
    const { _oauth2: members } = strategy as unknown as { _oauth2: { getOAuthAccessToken: unknown } }
    members.getOAuthAccessToken = async () => own()
    expect((await signIn(new TestBrowser(), 'alice')).status).toBe(500)
    expect(faults).toEqual([expect.objectContaining({ message: 'Failed to obtain access token' })])
  })

  test('control: a callback without an error is called once, with the user', async () => {
    const done = vi.fn()
    const { signIn } = await site({ verify: accept, done })
    void signIn(new TestBrowser(), 'alice').catch(() => {})
    await vi.waitFor(() => expect(done).toHaveBeenCalled())
    expect(done.mock.calls).toEqual([[null, { id: 'me' }, {}]])
  })
})

describe('skipUserProfile as a function', () => {
  test.each<[string, NonNullable<BitbucketStrategyOptions['skipUserProfile']>, number]>([
    ['that says yes', () => true, 0],
    ['that says no', () => false, 1],
    ['that says yes later', (_token: string, done: (e: null, skip: boolean) => void) => done(null, true), 0],
    ['that says no later', (_token: string, done: (e: null, skip: boolean) => void) => done(null, false), 1],
  ])('%s', async (_what, skipUserProfile, requests) => {
    const verify: Verify = (_a, _r, profile, done: (e: null, u: object) => void) => done(null, { profile: !!profile })
    const { signIn } = await site({ verify, options: { skipUserProfile } })
    expect((await signIn(new TestBrowser(), 'alice')).json()).toEqual({ user: { profile: requests === 1 } })
    expect(fake.count('user')).toBe(requests)
  })
})

describe('state as an object', () => {
  /** `info` as it reaches the callback of `passport.authenticate`, after a start with this `state`. */
  async function infoAfter(state: unknown, said?: unknown) {
    const done = vi.fn()
    const verify: Verify = (_a, _r, _p, end: (...of: unknown[]) => void) => end(null, { id: 'me' }, said)
    const { signIn } = await site({ verify, authenticate: { state }, done })
    void signIn(new TestBrowser(), 'alice').catch(() => {})
    await vi.waitFor(() => expect(done).toHaveBeenCalled())
    return done.mock.calls[0]?.slice(1)
  }

  test.each([{ invite: 'x1' }, { a: [1, null, { b: 'ä\u0000"' }] }, {}, { n: 'n'.repeat(504) }])(
    'case 23: %j comes back as info.state',
    async (state) => {
      expect(await infoAfter(state)).toEqual([{ id: 'me' }, { state }])
    },
  )

  test('loses members that are undefined, and yields to what verify says', async () => {
    const said = { message: 'welcome' }
    expect(await infoAfter({ a: 1, b: undefined }, said)).toEqual([{ id: 'me' }, { ...said, state: { a: 1 } }])
  })

  test('leaves frozen information as it is, and returns a text as it came', async () => {
    const said = Object.freeze({ message: 'welcome' })
    expect(await infoAfter({ a: 1 }, said)).toEqual([{ id: 'me' }, { ...said, state: { a: 1 } }])
    expect(await infoAfter({ a: 1 }, 'welcome')).toEqual([{ id: 'me' }, 'welcome'])
  })

  test('appears nowhere in the URL at Bitbucket', async () => {
    const { url } = await site({ authenticate: { state: { invite: 'secret-invitation' } } })
    const { location, setCookies } = await new TestBrowser().get(`${url}/start`)
    expect(new URL(location).searchParams.get('state')).toMatch(/^[\w-]{22}$/)
    const bytes = Buffer.from(/=([\w-]+)/.exec(setCookies[0] ?? '')?.[1] ?? '', 'base64url').toString('latin1')
    for (const text of [location, bytes, setCookies.join()]) expect(text).not.toContain('secret-invitation')
  })

  test.each<[string, object]>([
    ['it takes 513 bytes', { n: 'n'.repeat(505) }],
    ['it takes 514 bytes', { n: `${'n'.repeat(504)}ä` }],
    ['a function', { f: () => {} }],
    ['a bigint', { n: 1n }],
    ['a number', { n: Number.NaN }],
    ['an object', { when: new Date() }],
    ['a member `__proto__`', JSON.parse('{"__proto__":{"admin":true}}') as object],
  ])('is refused at the start when it does not fit: %s', async (reason, state) => {
    const { url, faults } = await site({ authenticate: { state } })
    const { status, setCookies } = await new TestBrowser().get(`${url}/start`)
    expect([status, setCookies]).toEqual([500, []])
    expect(faults).toEqual([expect.objectContaining({ code: 'configuration_invalid' })])
    expect((faults[0] as Error).message).toContain(reason)
  })
})

describe('a scope of the route', () => {
  test.each([
    [false, ['repository']],
    [false, 'account'],
    [['repository'], 'repository webhook'],
  ])('case 23: is refused with the option %j instead of dropping %j', async (scope, asked) => {
    const { url, faults } = await site({
      options: { scope: scope as BitbucketStrategyOptions['scope'] } as Partial<BitbucketStrategyOptions>,
      authenticate: { scope: asked },
    })
    expect((await new TestBrowser().get(`${url}/start`)).status).toBe(500)
    expect(faults).toEqual([expect.objectContaining({ code: 'configuration_invalid' })])
  })

  test.each([7, {}, ['repository', 7]])('refuses %j', async (asked) => {
    const { url, faults } = await site({ authenticate: { scope: asked } })
    expect((await new TestBrowser().get(`${url}/start`)).status).toBe(500)
    expect(faults).toEqual([expect.objectContaining({ code: 'configuration_invalid' })])
  })

  test('is accepted if it is requested anyway', async () => {
    const { url } = await site({ options: { scope: ['repository'] }, authenticate: { scope: 'repository' } })
    expect((await new TestBrowser().get(`${url}/start`)).status).toBe(302)
  })
})

describe("passport-oauth2's own conventions", () => {
  test('case 23: passes the options of the route to both legs, with the strategy of the request as `this`', async () => {
    const seen: [string, unknown][] = []
    class Own extends BitbucketStrategy {
      override authorizationParams(options: object) {
        seen.push(['authorizationParams', options])
        return { audience: ['one', 'two'], empty: undefined }
      }
      override tokenParams(options: object) {
        seen.push(['tokenParams', options])
        return { resource: String((options as { resource: string }).resource) }
      }
    }
    const make: SiteOptions['make'] = (...of) => new Own(...of)
    const { url, signIn } = await site({ make, authenticate: { prompt: 'login', resource: 'r1' } })
    const { searchParams } = new URL((await new TestBrowser().get(`${url}/start`)).location)
    expect([searchParams.getAll('audience'), searchParams.has('empty')]).toEqual([['one', 'two'], false])
    await signIn(new TestBrowser(), 'alice')
    const options = expect.objectContaining({ prompt: 'login', resource: 'r1', session: false })
    expect(seen).toEqual([
      ['authorizationParams', options],
      ['authorizationParams', options],
      ['tokenParams', options],
    ])
    expect(fake.requests.find(({ endpoint }) => endpoint === 'token')?.form).toMatchObject({ resource: 'r1' })
  })

  test('case 23: gives `params` every member of the answer except the refresh token, and the scopes by both names', async () => {
    const answer = {
      access_token: 'a'.repeat(40),
      refresh_token: 'r'.repeat(20),
      token_type: 'bearer',
      expires_in: 7200,
      scopes: 'account email',
      state: 'authorization_code',
      nested: { kept: [1] },
    }
    fake.script('token', { status: 200, json: answer })
    const verify: Verify = (_a, refresh, params, _p, done: (e: null, u: object) => void) =>
      done(null, { refresh, params })
    const { signIn } = await site({ verify, options: { skipUserProfile: true } })
    const { refresh_token: refresh, ...rest } = answer
    expect((await signIn(new TestBrowser(), 'alice')).json()).toEqual({
      user: { refresh, params: { ...rest, scope: 'account email' } },
    })
  })

  test("calls an app's own getOAuthAccessToken, and passes its errors through parseErrorResponse", async () => {
    class Own extends BitbucketStrategy {
      override parseErrorResponse(body: string, status: number) {
        return Object.assign(new Error(`own ${body} ${status}`), { code: 'own' })
      }
    }
    const own = await site({ make: (...of) => new Own(...of) })
    const members = (own.strategy as unknown as { _oauth2: import('../../src/passport/oauth2-members').OAuth2Members })
      ._oauth2
    members.getOAuthAccessToken = (code, params, done) => {
      const form = params as { code_verifier?: string }
      if (!code || !form.code_verifier) throw new Error('asked without code and verifier')
      done({ statusCode: 400, data: 'body' })
    }
    expect((await own.signIn(new TestBrowser(), 'alice')).status).toBe(500)
    expect(own.faults).toEqual([expect.objectContaining({ message: 'own body 400' })])
    members.getOAuthAccessToken = (_code, _params, done) => done(null, undefined)
    expect((await own.signIn(new TestBrowser(), 'alice')).status).toBe(500)
    expect(own.faults.at(-1)).toMatchObject({ message: 'Failed to obtain access token' })
    expect(fake.count('token')).toBe(0)
  })

  test.each<[string, unknown]>([
    ['workspaces', ['acme']],
    ['enabled', false],
    ['signUp', false],
    ['applications', []],
  ])('refuses the gate %s, which only the router has, and accepts the rest of a shared connection', (name, value) => {
    const options = { clientID: 'x', clientSecret: 'y', callbackURL: 'https://app.example/callback' }
    const make = (more: object) => new BitbucketStrategy({ ...options, ...more }, idOf as () => void)
    expect(() => make({ [name]: value })).toThrow(`BitbucketStrategy: \`${name}\` has no`)
    make({ id: 'x', enabled: true, signUp: true, workspaces: [], trustedProvider: true })
  })

  test('refuses an invalid limiter at construction', () => {
    const options = { clientID: 'x', clientSecret: 'y', callbackURL: 'https://app.example/callback' }
    expect(() => new BitbucketStrategy({ ...options, limiter: 'redis' as 'memory' }, idOf as () => void)).toThrow(
      'limiter',
    )
  })
})

describe('a subclass', () => {
  class Own extends BitbucketStrategy {
    override userProfile(token: string, done: (error?: unknown, profile?: unknown) => void) {
      super.userProfile(token, (error, profile) =>
        done(error, profile && { id: (profile as PassportProfile).username }),
      )
    }
    override authorizationParams({ prompt }: { prompt?: string }) {
      return { prompt, state: 'own', redirect_uri: 'https://evil.example', code_challenge: 'own', scope: 'own' }
    }
    override tokenParams() {
      return { extra: 'own', code_verifier: 'own', redirect_uri: 'https://evil.example' }
    }
  }
  const make: SiteOptions['make'] = (...of) => new Own(...of)

  test('changes the profile, and adds to both requests what is not ours', async () => {
    const { url, signIn } = await site({ make, authenticate: { prompt: 'login' } })
    const { searchParams } = new URL((await new TestBrowser().get(`${url}/start`)).location)
    expect(searchParams.get('prompt')).toBe('login')
    expect((await signIn(new TestBrowser(), 'alice')).json()).toEqual({ user: { id: 'alice' } })
    expect(fake.requests.find(({ endpoint }) => endpoint === 'token')?.form).toMatchObject({ extra: 'own' })
  })

  test.each(['authorizationParams', 'tokenParams'])('is told that %s must not be async', async (member) => {
    const own = await site({ make: (...of) => Object.assign(new Own(...of), { [member]: async () => ({}) }) })
    const browser = new TestBrowser()
    const started = await browser.get(`${own.url}/start`)
    if (started.location) await browser.get(await fake.signIn(started.location, { person: 'alice' }))
    expect(own.faults).toEqual([expect.objectContaining({ code: 'configuration_invalid' })])
    expect(own.faults[0]).toMatchObject({ message: expect.stringContaining(member) })
  })

  test('cannot change the protocol', async () => {
    const { url, signIn } = await site({ make })
    const { location } = await new TestBrowser().get(`${url}/start`)
    expect(location).not.toMatch(/own|evil/)
    await signIn(new TestBrowser(), 'alice')
    expect(fake.requests.find(({ endpoint }) => endpoint === 'token')?.form).toMatchObject({
      redirect_uri: `${url}/callback`,
      code_verifier: expect.stringMatching(/^[\w-]{43}$/),
    })
  })
})

test('reads more of the user with the get of its OAuth client', async () => {
  class WithTwoFactor extends BitbucketStrategy {
    override userProfile(accessToken: string, done: (error?: unknown, profile?: unknown) => void): void {
      super.userProfile(accessToken, (error, profile) => {
        if (error) return done(error)
        const { get } = (this as unknown as { _oauth2: import('../../src/passport/oauth2-members').OAuth2Members })
          ._oauth2
        get(`${fake.endpoints.apiURL}/user`, accessToken, (failed, body) => {
          if (failed) return done(failed)
          done(null, { ...(profile as object), twoFactor: JSON.parse(body ?? '').has_2fa_enabled })
        })
      })
    }
  }
  const verify: Verify = (
    _a,
    _r,
    { id, twoFactor }: { id: string; twoFactor: unknown },
    done: (e: null, u: object) => void,
  ) => done(null, { id, twoFactor: typeof twoFactor })
  const { signIn } = await site({ make: (...of) => new WithTwoFactor(...of), verify })
  expect((await signIn(new TestBrowser(), 'alice')).json()).toMatchObject({ user: { id: uuidOf('alice') } })
  expect(fake.count('user')).toBe(2)
})

describe('outside a request', () => {
  /** Signs alice in and answers her tokens. */
  async function tokensOf({ signIn }: Site) {
    return (await signIn(new TestBrowser(), 'alice')).json().user as { access: string; refresh: string }
  }
  const keep: Verify = (access, refresh, _p, done: (e: null, u: object) => void) => done(null, { access, refresh })
  /** The members that a Passport strategy's OAuth client has for others; TypeScript calls them protected. */
  const membersOf = ({ strategy }: Site) =>
    (strategy as unknown as { _oauth2: import('../../src/passport/oauth2-members').OAuth2Members })._oauth2

  test('userProfile reads the person behind a token', async () => {
    const own = await site({ verify: keep })
    const { access } = await tokensOf(own)
    const read = (token: string) =>
      new Promise((resolve, reject) =>
        own.strategy.userProfile(token, (error, profile) => (error ? reject(error) : resolve(profile))),
      )
    await expect(read(access)).resolves.toMatchObject({ id: uuidOf('alice'), emails: [{ verified: true }] })
    await expect(read('no-token')).rejects.toMatchObject({ code: 'upstream_failed' })
  })

  test('userProfile gives up after the deadline', async () => {
    const { strategy } = await site({ options: { timeoutMs: 100 } })
    fake.script('user', { delivery: 'stall' })
    const done = vi.fn()
    strategy.userProfile('token', done)
    await vi.waitFor(() => expect(done).toHaveBeenCalledWith(expect.objectContaining({ code: 'upstream_timeout' })))
  })

  test('getOAuthAccessToken refreshes tokens, also detached from the strategy', async () => {
    const own = await site({ verify: keep })
    const { refresh } = await tokensOf(own)
    const { getOAuthAccessToken } = membersOf(own)
    const trade = (token: string) =>
      new Promise<unknown[]>((resolve) =>
        getOAuthAccessToken(token, { grant_type: 'refresh_token' }, (...answer) => resolve(answer)),
      )
    const token = expect.stringMatching(/^\S{20,}$/)
    expect(await trade(refresh)).toEqual([null, token, token, expect.objectContaining({ token_type: 'bearer' })])
    expect(await trade('dead')).toEqual([expect.objectContaining({ code: 'refresh_refused' })])
    expect(fake.requests.filter(({ endpoint }) => endpoint === 'token').at(-1)?.form).toEqual({
      grant_type: 'refresh_token',
      refresh_token: 'dead',
    })
  })

  test('get reads a resource of the API, and sends the token nowhere else', async () => {
    const own = await site({ verify: keep })
    const { access } = await tokensOf(own)
    const { apiURL, tokenURL } = fake.endpoints
    const read = (url: string) =>
      new Promise<unknown[]>((resolve) => membersOf(own).get(url, access, (...answer) => resolve(answer)))
    expect(JSON.parse(String((await read(`${apiURL}/user`))[1]))).toMatchObject({ uuid: uuidOf('alice') })
    expect(await read(`${apiURL}/nothing/here`)).toEqual([expect.objectContaining({ code: 'upstream_failed' })])
    const before = fake.requests.length
    for (const url of [tokenURL.replace('127.0.0.1', 'localhost'), 'https://evil.example/user', 'no url']) {
      expect(await read(url)).toEqual([expect.any(TypeError)])
    }
    expect(fake.requests.length).toBe(before)
  })

  test('setAgent sends every request through the agent', async () => {
    const own = await site({ verify: keep })
    class Counting extends Agent {
      opened = 0
      override createConnection(...args: Parameters<Agent['createConnection']>) {
        this.opened++
        return super.createConnection(...args)
      }
    }
    const agent = new Counting()
    await own.signIn(new TestBrowser(), 'alice')
    expect(agent.opened).toBe(0)
    membersOf(own).useAuthorizationHeaderforGET(true)
    membersOf(own).setAgent(agent)
    expect((await own.signIn(new TestBrowser(), 'alice')).status).toBe(200)
    expect(agent.opened).toBe(3)
  })
})

test('a refusal has words for users and a code, as failureFlash and failureMessage pass on', async () => {
  const { url, strategy } = await site()
  const fail = vi.fn()
  const req = { method: 'GET', query: { code: 'x', state: 'y' }, headers: {}, res: {}, url } as unknown as Request
  Object.assign(Object.create(strategy), { fail }).authenticate(req)
  await vi.waitFor(() => expect(fail).toHaveBeenCalled())
  expect(fail).toHaveBeenCalledWith({ code: 'state_invalid', message: english.errors.state_invalid }, 403)
})

describe('a fault at Bitbucket', () => {
  const WORDS = 'own-words-of-bitbucket'

  test.each([
    ['access_denied', 403],
    ['server_error', 502],
    ['invalid_scope', 500],
    ['unauthorized_client', 500],
    [`<script>${WORDS}</script>`, 502],
  ])('named %s ends the sign-in with status %i and without a word of it', async (error, status) => {
    const { consent, faults } = await site()
    const browser = new TestBrowser()
    const callback = new URL(await consent(browser))
    callback.searchParams.delete('code')
    callback.searchParams.set('error', error)
    callback.searchParams.set('error_description', WORDS)
    callback.searchParams.set('error_uri', `https://evil.example/${WORDS}`)
    const answer = await browser.get(callback.href)
    expect(answer.status).toBe(status)
    expect(`${answer.text}${JSON.stringify(answer.headers)}${inspect(faults, { depth: 9 })}`).not.toContain(WORDS)
    expect(fake.count('token')).toBe(0)
  })

  test('ends the sign-in in this browser', async () => {
    const { consent } = await site()
    const browser = new TestBrowser()
    const callback = new URL(await consent(browser))
    callback.searchParams.delete('code')
    const refused = new URL(callback)
    refused.searchParams.set('error', 'access_denied')
    expect((await browser.get(refused.href)).status).toBe(403)
    expect(browser.jar(callback.href).size).toBe(0)
    callback.searchParams.set('code', fake.issueCode({ person: 'alice' }))
    expect((await browser.get(callback.href)).status).toBe(403)
    expect(fake.count('token')).toBe(0)
  })

  test('case 23: does not count callbacks without a code, and counts the others in `limiter`', async () => {
    const keys: string[] = []
    const limiter = () => ({
      consume: async (key: string) => {
        keys.push(key)
        return { consumedPoints: 1 }
      },
      get: async () => null,
    })
    const { consent } = await site({ options: { limiter } })
    const browser = new TestBrowser()
    for (let refusal = 0; refusal < 20; refusal++) {
      const callback = new URL(await consent(browser))
      callback.searchParams.delete('code')
      callback.searchParams.set('error', 'access_denied')
      expect((await browser.get(callback.href)).status).toBe(403)
    }
    expect(keys).toEqual([])
    expect((await browser.get(await consent(browser))).status).toBe(200)
    expect(keys).toHaveLength(1)
  })

  test.each([
    ['token', 400],
    ['token', 500],
    ['user', 401],
    ['user', 500],
  ] as const)(
    'of the %s endpoint with status %i shows no word of it, no token and no code',
    async (endpoint, status) => {
      fake.script(endpoint, { status, json: { error: 'invalid_grant', error_description: WORDS, access_token: WORDS } })
      const { consent, faults } = await site()
      const browser = new TestBrowser()
      const callback = await consent(browser)
      const answer = await browser.get(callback)
      expect(answer.status).toBe(502)
      const shown = `${answer.text}${inspect(faults, { depth: 9, showHidden: true })}`
      expect(faults[0]).toBeInstanceOf(BitbucketSignInError)
      for (const secret of [WORDS, SECRET, new URL(callback).searchParams.get('code') ?? '-']) {
        expect(shown).not.toContain(secret)
      }
    },
  )

  test('reports a missing answer as a timeout', async () => {
    fake.script('token', { delivery: 'stall' })
    const { signIn, faults } = await site({ options: { timeoutMs: 150 } })
    expect((await signIn(new TestBrowser(), 'alice')).status).toBe(504)
    expect(faults).toEqual([expect.objectContaining({ code: 'upstream_timeout' })])
  })
})

describe('secrets', () => {
  const views = (value: unknown) =>
    [
      inspect(value, { depth: 9, showHidden: true, getters: true }),
      inspect(value, { depth: 9 }),
      JSON.stringify(value),
    ].join('\n')

  test('appear in no view of the strategy, before and after sign-ins', async () => {
    for (const instance of [false, true]) {
      const { strategy, signIn } = await site({ instance })
      const browser = new TestBrowser()
      expect(views(strategy)).not.toContain(SECRET)
      await signIn(browser, 'alice')
      expect(views(strategy)).not.toContain(SECRET)
      expect(views(strategy)).not.toContain(Buffer.from(`${FAKE_CLIENT.clientID}:${SECRET}`).toString('base64'))
    }
  })
})

describe('the options', () => {
  const options = { clientID: 'key', clientSecret: 'a-client-secret', callbackURL: 'https://app.example/callback' }
  const make = (changes: object, verify: unknown = idOf) =>
    new BitbucketStrategy({ ...options, ...changes } as BitbucketStrategyOptions, verify as () => void)

  test('may be three only', () => {
    expect(make({}).name).toBe('bitbucket')
    expect(make({ name: 'bitbucket-2' }).name).toBe('bitbucket-2')
  })

  test.each([
    [{ clientId: 'key' }, 'clientID'],
    [{ clientSecert: 'x' }, 'clientSecret'],
    [{ callbackUrl: 'https://app.example/callback' }, 'callbackURL'],
    [{ scopes: ['x'] }, 'scope'],
  ])('%j is refused, with the right name', (wrong, right) => {
    expect(() => make(wrong)).toThrow(`Did you mean \`${right}\``)
  })

  test.each([
    [{ clientID: undefined }, 'clientID'],
    [{ clientID: '' }, 'clientID'],
    [{ clientSecret: undefined }, 'clientSecret'],
    [{ clientSecret: 7 }, 'clientSecret'],
    [{ callbackURL: '/callback' }, 'callbackURL'],
    [{ callbackURL: 'http://app.example/callback' }, 'callbackURL'],
    [{ callbackURL: undefined }, 'callbackURL'],
    [{ scope: 7 }, 'scope'],
  ])('%j is refused by name, without a secret', (wrong, name) => {
    try {
      make(wrong)
      throw new Error('accepted')
    } catch (error) {
      expect(error).toMatchObject({ code: 'configuration_invalid', message: expect.stringContaining(name) })
      expect(inspect(error, { depth: 9 })).not.toContain('a-client-secret')
    }
  })

  test.each([undefined, null, 'options', () => {}])('are refused if they are %j', (wrong) => {
    expect(() => new BitbucketStrategy(wrong as unknown as BitbucketStrategyOptions, idOf as () => void)).toThrow(
      /Pass options and a verify callback/,
    )
  })

  test.each([undefined, null, 'verify', {}])('refuse a verify that is %j', (verify) => {
    expect(() => new BitbucketStrategy(options, verify as unknown as () => void)).toThrow(/verify/)
  })
})
