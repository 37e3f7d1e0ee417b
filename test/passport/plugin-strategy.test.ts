import type { NextFunction, Request, Response } from 'express'
import { BitbucketStrategy } from 'passport-bitbucket-signin'
import { FAKE_CLIENT } from 'passport-bitbucket-signin/testing'
import { describe, expect, test, vi } from 'vitest'
import type { TestAppOptions } from '../support/app'
import { app, browser, fake, openBrowser, open as startApp } from '../support/one-app'

// `passport.authenticate` with the app's own callback, whose errors nothing else would catch.

type Done = (error: unknown, user: unknown, info?: unknown, status?: number) => unknown

/** An app that calls Passport itself at `/by-hand` and `/by-hand/callback`, and ends requests in `answer`. */
async function open(
  express: 4 | 5,
  strategy: 'of the plugin' | 'alone',
  answer: (req: Request, res: Response, next: NextFunction) => Done,
  route: object = {},
  options: TestAppOptions['options'] = {},
): Promise<void> {
  const name = strategy === 'alone' ? 'alone' : 'bitbucket'
  await startApp({
    express,
    options,
    resolver: (defaults) => () => ({
      ...defaults,
      callbackURL: defaults.callbackURL.replace('/auth/bitbucket', '/by-hand'),
    }),
    behindSession: (express) => {
      const byHand = (req: Request, res: Response, next: NextFunction) =>
        (app.passport.authenticate(name, route, answer(req, res, next)) as (...args: unknown[]) => void)(req, res, next)
      express.get('/by-hand', byHand)
      express.all('/by-hand/callback', byHand)
    },
  })
  app.passport.use(app.bitbucket.strategy)
  app.passport.use(
    'alone',
    new BitbucketStrategy(
      {
        name: 'alone',
        clientID: FAKE_CLIENT.clientID,
        clientSecret: FAKE_CLIENT.clientSecret,
        callbackURL: `${app.url}/by-hand/callback`,
        endpoints: fake.endpoints,
      },
      (_access: string, _refresh: string, profile: { id: string }, done: (error: null, user: unknown) => void) =>
        done(null, { id: profile.id }),
    ),
  )
  openBrowser()
  const alice = { issuer: new URL(fake.url).origin, id: fake.person('alice').uuid }
  app.accounts.add({ identities: [alice] })
}

const consent = async () => {
  const { location } = await browser.get(`${app.url}/by-hand`)
  return fake.signIn(location, { person: 'alice' })
}

const signsIn = (req: Request, res: Response, next: NextFunction) => (error: unknown, user: unknown) => {
  if (error || !user) return next(error ?? Object.assign(new Error('refused'), { status: 403 }))
  req.logIn(user as never, (failed?: unknown) => (failed ? next(failed) : res.redirect('/')))
}

describe.each([
  [4, 'of the plugin'],
  [5, 'of the plugin'],
  [4, 'alone'],
  [5, 'alone'],
] as const)('on Express %i, the strategy %s', (express, strategy) => {
  test.each<[string, (callback: string) => string]>([
    ['success', (callback) => callback],
    ['a refusal', (callback) => callback.replace(/state=./, 'state=x')],
    [
      'a fault at the token endpoint',
      (callback) => {
        fake.script('token', { status: 500, text: '' })
        return callback
      },
    ],
    [
      'a fault at the profile',
      (callback) => {
        fake.script('user', { status: 500, text: '' })
        return callback
      },
    ],
  ])('passes what the callback throws to Express: after %s', async (_what, bend) => {
    let calls = 0
    await open(express, strategy, () => () => {
      calls++
      throw new Error('thrown by the callback')
    })
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    try {
      const answer = await browser.get(bend(await consent()))
      await new Promise((resolve) => setImmediate(resolve))
      expect([answer.status, answer.text]).toEqual([500, 'fault'])
      expect(app.faults).toEqual([expect.objectContaining({ message: 'thrown by the callback' })])
      expect(unhandled).not.toHaveBeenCalled()
      expect(calls).toBe(1)
      expect(await app.me(browser)).toBeNull()
    } finally {
      process.off('unhandledRejection', unhandled)
    }
  })

  test('case 23: returns a plain object as state of the route in info.state', async () => {
    const seen: unknown[] = []
    await open(
      express,
      strategy,
      (req, res, next) => (error, user, info) => {
        seen.push(info)
        signsIn(req, res, next)(error, user)
      },
      { state: { invite: 'invitation-x1' } },
    )
    const callback = await consent()
    expect(callback).not.toContain('invitation')
    expect((await browser.get(callback)).status).toBe(302)
    expect(seen).toEqual([{ state: { invite: 'invitation-x1' } }])
    if (strategy === 'of the plugin') expect(await app.me(browser)).toBe('u1')
  })

  test('signs in with the `query parser` of the app off', async () => {
    await open(express, strategy, signsIn)
    app.app.set('query parser', false)
    expect((await browser.get(await consent())).location).toBe('/')
    if (strategy === 'of the plugin') expect(await app.me(browser)).toBe('u1')
  })

  test('spends nothing on a HEAD, a POST or an OPTIONS', async () => {
    await open(express, strategy, signsIn)
    const callback = await consent()
    fake.clearRequests()
    const hooks = app.accounts.calls.length
    for (const method of ['HEAD', 'POST', 'OPTIONS', 'PUT']) {
      const { status } = await browser.get(callback, { method })
      expect({ method, status }).toEqual({ method, status: 500 })
    }
    const fields = Object.fromEntries(new URL(callback).searchParams)
    await browser.post(callback, fields)
    await browser.post(`${app.url}/by-hand/callback`, fields)
    expect(fake.count()).toBe(0)
    expect(app.accounts.calls).toHaveLength(hooks)
    expect(await app.me(browser)).toBeNull()
    expect((await browser.get(callback)).status).toBe(302)
    expect(fake.count('token')).toBe(1)
    if (strategy === 'of the plugin') expect(await app.me(browser)).toBe('u1')
  })
})

describe.each([4, 5] as const)('on Express %i, texts of the request', (express) => {
  const throwing = (): never => {
    throw new Error('thrown by texts')
  }

  test.each<[string, unknown, object]>([
    ['throw', throwing, { message: 'thrown by texts' }],
    ['reject', async () => throwing(), { code: 'configuration_invalid' }],
    ['are a promise', async () => ({}), { code: 'configuration_invalid' }],
  ])('that %s pass the error to Express, and end no process', async (_how, texts, fault) => {
    await open(express, 'of the plugin', signsIn, {}, { texts: texts as never })
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    try {
      // A stranger's request: it needs no cookie and no sign-in.
      const answer = await browser.get(`${app.url}/by-hand/callback?state=x`)
      await new Promise((resolve) => setImmediate(resolve))
      expect([answer.status, answer.text]).toEqual([500, 'fault'])
      expect(app.faults).toEqual([expect.objectContaining(fault)])
      expect(unhandled).not.toHaveBeenCalled()
    } finally {
      process.off('unhandledRejection', unhandled)
    }
    expect((await browser.get(await consent())).location).toBe('/')
  })

  test('control: are the message of the refusal', async () => {
    const seen: unknown[] = []
    const answer = (_req: Request, res: Response) => (_error: unknown, _user: unknown, info?: unknown) => {
      seen.push(info)
      res.status(403).send('refused')
    }
    const texts = () => ({ errors: { state_invalid: 'Please start again.' } })
    await open(express, 'of the plugin', answer, {}, { texts })
    expect((await browser.get(`${app.url}/by-hand/callback?state=x`)).status).toBe(403)
    expect(seen).toEqual([{ code: 'state_invalid', message: 'Please start again.' }])
  })
})
