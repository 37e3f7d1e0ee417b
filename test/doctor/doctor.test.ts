import http from 'node:http'
import { Passport } from 'passport'
import { BitbucketStrategy, bitbucketSignIn, connections } from 'passport-bitbucket-signin'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import request from 'supertest'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { TestAccounts, type TestUser } from '../support/accounts'
import { CALLBACK, CLIENT, examine, type Parts } from './target-app'

import express = require('express')
import session = require('express-session')

let fake: FakeBitbucket
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
afterEach(() => vi.unstubAllEnvs())

class BrokenStore extends session.MemoryStore {
  override set(_id: string, _session: session.SessionData, done?: (error?: unknown) => void): void {
    done?.(new Error('connect ECONNREFUSED 127.0.0.1:5432'))
  }
}

class ForgetfulStore extends session.MemoryStore {
  override get(_id: string, done: (error: unknown, session?: session.SessionData | null) => void): void {
    done(null, null)
  }
}

class HoardingStore extends session.MemoryStore {
  override destroy(_id: string, done?: (error?: unknown) => void): void {
    done?.()
  }
}

/** As stores on files do. */
class FileLikeStore extends session.MemoryStore {
  override get(id: string, done: (error: unknown, session?: session.SessionData | null) => void): void {
    super.get(id, (_error, found) => (found ? done(null, found) : done({ code: 'ENOENT' })))
  }
}

type Break = (parts: Parts) => unknown

/** Each fault as people make it, the check that must find it, and words of the fix. */
const FAULTS: readonly (readonly [string, 'problem' | 'warning', string, RegExp, Break])[] = [
  [
    'the router is mounted elsewhere',
    'problem',
    'mount',
    /app\.use\('\/auth\/bitbucket', bitbucket\.router\)/,
    (p) => (p.mount = '/login'),
  ],
  [
    'the router is mounted at the end of its path alone',
    'problem',
    'mount',
    /app\.use\('\/auth\/bitbucket', .*strips \/auth, the mount.*mountedAt: '\/bitbucket'/,
    (p) => (p.mount = '/bitbucket'),
  ],
  [
    'the router is mounted at the root',
    'problem',
    'mount',
    /strips \/auth\/bitbucket, the mount.*mountedAt: '\/'/,
    (p) => (p.mount = '/'),
  ],
  [
    'case 26: the callback is not inside basePath',
    'problem',
    'callback-route',
    /\/auth\/bitbucket\/callback, here and at Bitbucket, or let the app rewrite \/sign-in\/done/,
    (p) => {
      p.connection = { ...p.connection, callbackURL: 'https://app.example.com/sign-in/done' }
      p.options = { basePath: '/auth/bitbucket' }
    },
  ],
  [
    'case 26: something before the router answers the callback alone',
    'problem',
    'callback-route',
    /does not reach the router \(status 418\)|rewrite/,
    (p) => p.before.push((req, res, next) => (req.url?.includes('/callback') ? res.writeHead(418).end() : next())),
  ],
  [
    'a guard redirects before the router',
    'problem',
    'mount',
    /Exempt the path of the router from the guard/,
    (p) => p.before.push((_req, res) => res.writeHead(302, { location: '/login' }).end()),
  ],
  [
    'passport.session() has no session to read',
    'problem',
    'mount',
    /express-session is missing/,
    (p) => (p.before = ['passport']),
  ],
  [
    'a middleware answers before the router',
    'problem',
    'mount',
    /it responds first/,
    (p) => p.before.push((_req, res) => res.writeHead(403).end()),
  ],
  [
    'a middleware fails before the router',
    'problem',
    'mount',
    /See the error in the app's log/,
    (p) => p.before.push((_req, res) => res.writeHead(500).end()),
  ],
  ['express-session is missing', 'problem', 'session', /express-session before/, (p) => (p.before = [])],
  [
    'express-session comes after the router',
    'problem',
    'session',
    /Move app\.use\(session/,
    (p) => {
      p.before = []
      p.after = ['session', 'passport']
    },
  ],
  [
    'the session cannot rotate, as with cookie-session',
    'problem',
    'session',
    /cookie-session is not supported/,
    (p) => (p.before = [(req, _res, next) => next(void Object.assign(req, { session: {} }))]),
  ],
  [
    'the session cannot rotate, as cookie-session with the methods that Passport calls',
    'problem',
    'session',
    /cookie-session is not supported/,
    (p) => {
      const done = (callback: () => void) => callback()
      p.before = [(req, _res, next) => next(void Object.assign(req, { session: { regenerate: done, save: done } }))]
    },
  ],
  [
    'passport.session() is missing',
    'problem',
    'passport-session',
    /Mount passport\.session\(\) after express-session/,
    (p) => (p.before = ['session']),
  ],
  [
    'passport.session() comes after the router',
    'problem',
    'passport-session',
    /before the router/,
    (p) => {
      p.before = ['session']
      p.after = ['passport']
    },
  ],
  [
    'passport.initialize() stands alone',
    'problem',
    'passport-session',
    /Mount passport\.session\(\) after express-session/,
    (p) => (p.before = ['session', p.passport.initialize() as never]),
  ],
  [
    'another Passport instance is mounted',
    'problem',
    'passport-session',
    /npm ls passport/,
    (p) => (p.before = ['session', new Passport().session() as never]),
  ],
  [
    'Passport is 0.5',
    'problem',
    'passport-session',
    /Install passport 0\.7/,
    (p) => (p.before = ['session', (req, _res, next) => next(void Object.assign(req, { logIn() {}, _passport: {} }))]),
  ],
  [
    'Passport is patched to keep the session',
    'warning',
    'passport-rotation',
    /remove the older copy or the patch/,
    (p) =>
      p.before.push((req, _res, next) => {
        patchPassport(req)
        next()
      }),
  ],
  [
    'regenerate is replaced by an empty function',
    'problem',
    'session-store',
    /Remove the middleware that sets req\.session\.regenerate/,
    (p) =>
      p.before.push((req, _res, next) => {
        Object.assign((req as never as { session: object }).session, { regenerate: (done: () => void) => done() })
        next()
      }),
  ],
  [
    'the session store is down',
    'problem',
    'session-store',
    /Fix the store first/,
    (p) => (p.session.store = new BrokenStore()),
  ],
  [
    'the session store forgets',
    'problem',
    'session-store',
    /get\(\) does not find/,
    (p) => (p.session.store = new ForgetfulStore()),
  ],
  [
    'the session store never deletes',
    'problem',
    'session-store',
    /store that deletes/,
    (p) => (p.session.store = new HoardingStore()),
  ],
  [
    'sessions are in memory in production',
    'warning',
    'session-store',
    /connect-pg-simple or connect-redis/,
    () => vi.stubEnv('NODE_ENV', 'production'),
  ],
  [
    'visitors who do nothing are stored',
    'warning',
    'session-unasked',
    /saveUninitialized: false/,
    (p) => (p.session.saveUninitialized = true),
  ],
  [
    'the cookie is secure, the callback http',
    'problem',
    'session-cookie',
    /'auto'/,
    (p) => register(p, 'http://localhost:3000/auth/bitbucket/callback'),
  ],
  [
    'the cookie is not secure, the callback https',
    'problem',
    'session-cookie',
    /secure: true/,
    (p) => (p.session.cookie.secure = false),
  ],
  [
    'scripts can read the session cookie',
    'warning',
    'session-cookie',
    /httpOnly: false/,
    (p) => (p.session.cookie.httpOnly = false),
  ],
  [
    'the cookie path does not cover the router',
    'problem',
    'mount',
    /cookie\.path/,
    (p) => (p.session.cookie.path = '/shop'),
  ],
  [
    'the cookie domain does not cover the callback',
    'problem',
    'session-cookie',
    /Remove cookie\.domain/,
    (p) => (p.session.cookie.domain = 'example.org'),
  ],
  [
    'the session cookie is SameSite=Strict',
    'warning',
    'same-site',
    /'lax'/,
    (p) => (p.session.cookie.sameSite = 'strict'),
  ],
  ['the session cookie is SameSite=None', 'warning', 'same-site', /'lax'/, (p) => (p.session.cookie.sameSite = 'none')],
  [
    'trust proxy is not set behind a proxy',
    'problem',
    'trust-proxy',
    /app\.set\("trust proxy", 1\)/,
    (p) => p.app.set('trust proxy', false),
  ],
  [
    'trust proxy trusts everybody',
    'warning',
    'trust-proxy',
    /number of proxies/,
    (p) => p.app.set('trust proxy', true),
  ],
  [
    'trust proxy trusts everybody, with custom domains',
    'problem',
    'trust-proxy',
    /number of proxies/,
    (p) => {
      p.app.set('trust proxy', true)
      p.connection = { ...p.connection, origins: ['https://other.example.com'] }
    },
  ],
  [
    'no connection is offered at the callback',
    'problem',
    'connection',
    /tenant is known/,
    (p) => (p.resolver = (connection) => connections({ default: connection, tenant: () => 'nobody' })),
  ],
  [
    'the origin is not believed',
    'problem',
    'connection',
    /trust proxy/,
    (p) => {
      p.app.set('trust proxy', false)
      p.connection = { ...p.connection, origins: ['https://other.example.com'] }
    },
  ],
  [
    'the serializers are missing',
    'problem',
    'serializers',
    /passport\.serializeUser/,
    (p) => Object.assign(p.passport, { _serializers: [], _deserializers: [] }),
  ],
  [
    'a strategy of the same name is left over',
    'warning',
    'strategy-name',
    /left over from an older package/,
    (p) => p.passport.use(new BitbucketStrategy(p.connection, () => {})),
  ],
  [
    'the limiter is in memory, and the processes are several',
    'problem',
    'limiter',
    /PostgreSQL or Redis/,
    () => vi.stubEnv('WEB_CONCURRENCY', '4'),
  ],
  [
    'the limiter does not count',
    'problem',
    'limiter',
    /Pass the options to the limiter/,
    (p) => (p.options = { limiter: () => ({ consume: async () => ({ consumedPoints: 1 }), get: async () => null }) }),
  ],
  [
    'the store of the limiter is down',
    'problem',
    'limiter',
    /its table exists/,
    (p) =>
      (p.options = {
        limiter: () => ({ consume: async () => Promise.reject(new Error('no such table')), get: async () => null }),
      }),
  ],
  [
    'a secret is the client secret',
    'problem',
    'secrets',
    /Use a separate secret/,
    (p) => {
      reveal(p, 'm4Vq8sTz1LxB6nRk3WcJ9yHd2PfG7uEa')
    },
  ],
  [
    'a secret is not random',
    'warning',
    'secrets',
    /randomBytes/,
    (p) => (p.options = { secrets: ['change-me-change-me-change-me-change-me'] }),
  ],
  [
    'hooks for linking are missing',
    'warning',
    'hooks',
    /Add both/,
    (p) => (p.without = ['listIdentities', 'describeUser']),
  ],
  [
    'the client secret is wrong',
    'problem',
    'credentials',
    /Copy Key and Secret again/,
    (p) => (p.connection = { ...p.connection, clientSecret: 'typo' }),
  ],
  [
    'another callback is registered',
    'problem',
    'callback',
    /Register exactly https:\/\/app\.example\.com\/auth\/bitbucket\/callback/,
    (p) => p.fake.addClient({ ...CLIENT, callbackURL: `${CALLBACK}/` }),
  ],
  [
    'no callback is registered',
    'problem',
    'callback',
    /Tick "Authorization code"|Register exactly/,
    (p) => p.fake.addClient({ ...CLIENT, callbackURL: null }),
  ],
  [
    'the client ID is unknown',
    'problem',
    'callback',
    /check the client ID/,
    (p) => (p.connection = { ...p.connection, clientID: 'clinc' }),
  ],
  [
    'a permission is not ticked',
    'problem',
    'scopes',
    /Account: Email/,
    (p) => p.fake.addClient({ ...CLIENT, scopes: ['account'] }),
  ],
  [
    'an extra permission is not ticked',
    'problem',
    'scopes',
    /Tick them on the OAuth client/,
    (p) => {
      p.connection = { ...p.connection, scope: 'repository' }
    },
  ],
  [
    'the clock is wrong',
    'warning',
    'clock',
    /NTP/,
    (p) => p.fake.script('authorize', { headers: { date: new Date(Date.now() - 600_000).toUTCString() } }),
  ],
  [
    'Bitbucket cannot be reached',
    'problem',
    'bitbucket',
    /firewall and proxy/,
    (p) => p.fake.script('authorize', { delivery: 'reset' }),
  ],
]

function patchPassport(req: object): void {
  const manager = (req as { _sessionManager: object })._sessionManager
  Object.assign(req, {
    _sessionManager: Object.assign(Object.create(manager), {
      logIn: (_req: unknown, _user: unknown, done: () => void) => done(),
    }),
  })
}

function register(parts: Parts, callbackURL: string): void {
  parts.connection = { ...parts.connection, callbackURL }
  parts.fake.addClient({ ...CLIENT, callbackURL })
}

function reveal(parts: Parts, clientSecret: string): void {
  parts.connection = { ...parts.connection, clientSecret }
  parts.options = { secrets: [clientSecret] }
  parts.fake.addClient({ ...CLIENT, clientSecret })
}

/** A table whose foreign key knows every user. */
class StoreOfKnownUsers extends session.MemoryStore {
  override set(id: string, content: session.SessionData, done?: (error?: unknown) => void): void {
    const user = (content as { passport?: { user?: unknown } }).passport?.user
    if (user !== undefined) done?.(new Error('insert or update on table "sessions" violates foreign key constraint'))
    else super.set(id, content, done)
  }
}

const sessionsIn = (store: session.MemoryStore) =>
  new Promise((resolve) => store.all?.((_error, sessions) => resolve(sessions)))

describe('bitbucket.doctor', () => {
  it('reports nothing for a healthy app', async () => {
    const report = await examine(fake)
    expect(report.findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
    expect(report.ok).toBe(true)
    expect(report.findings.length).toBeGreaterThan(15)
  })

  it('reports nothing for a healthy app on loopback over http', async () => {
    const report = await examine(fake, (parts) => {
      register(parts, 'http://localhost:3000/auth/bitbucket/callback')
      parts.session.cookie = {}
      parts.app.set('trust proxy', false)
    })
    expect(report.findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  })

  it('reports nothing for a healthy app that says that it terminates TLS itself', async () => {
    const report = await examine(fake, (parts) => {
      parts.app.set('trust proxy', false)
      parts.doctor = { tlsAt: 'app' }
    })
    expect(report.findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  })

  it('reports nothing behind a proxy that strips a path prefix, if `mountedAt` says so', async () => {
    for (const mount of ['/auth/bitbucket', '/']) {
      const report = await examine(fake, (parts) => {
        register(parts, 'https://app.example.com/app/auth/bitbucket/callback')
        Object.assign(parts, { mount, doctor: { mountedAt: mount } })
      })
      expect(report.findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
      expect(String(report)).toContain(`The router answers at ${mount}.`)
    }
  })

  it('reports a doubt whether a connection is offered when the callback only passes sign-ins on', async () => {
    const origins = ['https://acme.example.com']
    const report = await examine(fake, (parts) => {
      parts.resolver = (connection) =>
        connections({ default: connection, tenants: { acme: { origins } }, tenant: () => 'nobody' })
    })
    expect(report.ok).toBe(true)
    expect(report.findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([
      expect.objectContaining({ check: 'connection', verdict: 'unknown' }),
    ])
  })

  it('reports a foreign Passport instance only, and not the session store', async () => {
    const report = await examine(fake, (parts) => {
      const foreign = new Passport()
      parts.before = ['session', foreign.session() as never]
    })
    expect(report.findings.filter(({ verdict }) => verdict === 'problem').map(({ check }) => check)).toEqual([
      'passport-session',
    ])
  })

  it('does not blame Passport for rotation if passport.session() only comes after the router', async () => {
    const report = await examine(fake, (parts) => {
      parts.before = ['session']
      parts.after = ['passport']
    })
    const checks = report.findings.filter(({ verdict }) => verdict !== 'ok').map(({ check }) => check)
    expect(checks).toEqual(['passport-session'])
  })

  it("warns that a tenant's empty `workspaces` open the gate of the application, unless there is none", async () => {
    const warned = async (base: string[] | undefined, tenants: Record<string, { workspaces?: string[] }>) => {
      const report = await examine(fake, (parts) => {
        const gate = base && { workspaces: base }
        parts.resolver = (connection) =>
          connections({ default: { ...connection, ...gate }, tenants, tenant: () => null })
      })
      return report.findings.filter(({ check }) => check === 'workspaces').map(({ message }) => message)
    }
    const open = { acme: { workspaces: [] }, bells: {}, cobra: { workspaces: ['cobra'] } }
    expect(await warned(['acme-inc'], open)).toEqual([
      'Tenant "acme" has `workspaces: []`, which admits everyone; the application admits only members of acme-inc.',
    ])
    expect(await warned(undefined, open)).toEqual([])
    expect(await warned(['acme-inc'], { bells: {} })).toEqual([])
  })

  it.each(FAULTS)('reports that %s (%s: %s) and names the fix', async (_name, verdict, check, fix, breakPart) => {
    const report = await examine(fake, breakPart)
    const found = report.findings.filter((each) => each.check === check && each.verdict === verdict)
    expect(found.map((each) => each.fix).join('\n'), String(report)).toMatch(fix)
    expect(report.ok).toBe(!report.findings.some((each) => each.verdict === 'problem'))
    expect(JSON.stringify(report)).not.toContain(CLIENT.clientSecret)
  })

  it('reports a doubt whether a proxy on another machine is trusted', async () => {
    for (const trusted of [
      '10.0.0.0/8',
      ['10.0.0.0/8', '192.168.0.0/16'],
      (address: string) => address === '10.0.0.1',
    ]) {
      const report = await examine(fake, (parts) => {
        parts.app.set('trust proxy', trusted)
        parts.connection = { ...parts.connection, origins: ['https://other.example.com'] }
      })
      expect(report.ok).toBe(true)
      expect(report.findings.filter(({ verdict }) => verdict !== 'ok').map(({ check }) => check)).toEqual([
        'connection',
        'trust-proxy',
      ])
    }
  })

  it('reports nothing for a store that answers ENOENT for a removed session', async () => {
    const report = await examine(fake, (parts) => {
      parts.session.store = new FileLikeStore()
    })
    expect(report.findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  })

  it('leaves no session behind', async () => {
    const store = new session.MemoryStore()
    await examine(fake, (parts) => {
      parts.session.store = store
    })
    expect(await sessionsIn(store)).toEqual({})
  })

  it('case 27: checks an app whose requests to Bitbucket go through an agent', async () => {
    const agent = new http.Agent()
    agent.createConnection = () => {
      throw new Error('the proxy does not know this host')
    }
    const report = await examine(fake, (parts) => {
      parts.options = { http: { agent } }
      parts.doctor = { bitbucket: false }
    })
    expect(report.findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  })

  it('case 27: accepts a session table that refuses unknown users, and leaves nothing in it', async () => {
    const store = new StoreOfKnownUsers()
    const report = await examine(fake, (parts) => {
      parts.session.store = store
    })
    expect(report.findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
    expect(await sessionsIn(store)).toEqual({})
  })

  it('case 27: leaves no session behind when the cookie is lost or the app fails after the router', async () => {
    const store = new session.MemoryStore()
    await examine(fake, (parts) => {
      parts.session.store = store
      parts.before.unshift((_req, res, next) => {
        res.on('pipe', () => {})
        const { setHeader } = res
        res.setHeader = (name, value) => (name.toLowerCase() === 'set-cookie' ? res : setHeader.call(res, name, value))
        next()
      })
    })
    expect(await sessionsIn(store)).toEqual({})
  })

  it('case 27: serves users of the app while it runs, who have two deserializers', async () => {
    const app = express()
    const passport = new Passport()
    passport.serializeUser((user, done) => done(null, (user as TestUser).id))
    passport.deserializeUser((_id, done) => setTimeout(done, 5, 'pass'))
    passport.deserializeUser((id, done) => setTimeout(done, 5, null, { id }))
    const bitbucket = bitbucketSignIn<TestUser>({
      passport,
      secrets: ['kFh3-9sLq0ZrXw7TnBv2YcEd5UaMg8Pj'],
      connection: { clientID: 'a', clientSecret: 'b', callbackURL: 'http://localhost/auth/bitbucket/callback' },
      accounts: new TestAccounts().hooks(),
      sendEmailCode: () => {},
    })
    app.use(session({ secret: 's', resave: false, saveUninitialized: false }), passport.session())
    app.use('/auth/bitbucket', bitbucket.router)
    app.get('/in', (req, res, next) => req.logIn({ id: 'ada' }, (error) => (error ? next(error) : res.send('in'))))
    app.get('/me', (req, res) => void res.send((req.user as TestUser | undefined)?.id ?? 'nobody'))
    const agent = request.agent(app)
    await agent.get('/in').expect('in')
    let isRunning = true
    const examinations = async () => {
      for (let times = 0; times < 5; times++) expect((await bitbucket.doctor(app, { bitbucket: false })).ok).toBe(true)
      isRunning = false
    }
    const examined = examinations()
    let visits = 0
    while (isRunning) {
      const answers = await Promise.all([1, 2, 3].map(() => agent.get('/me')))
      expect(answers.map(({ text }) => text)).toEqual(['ada', 'ada', 'ada'])
      visits += answers.length
    }
    await examined
    expect(visits).toBeGreaterThan(0)
    bitbucket.close()
  })

  it('case 27: names the middleware that fills every session, where saveUninitialized is off', async () => {
    const report = await examine(fake, (parts) => {
      parts.before.push((req, _res, next) => {
        Object.assign((req as { session?: object }).session ?? {}, { csrf: 'token' })
        next()
      })
    })
    const found = report.findings.find(({ check }) => check === 'session-unasked')
    expect(found?.message).toContain('middleware before the router')
    expect(found?.fix).not.toContain('saveUninitialized')
  })

  it('case 27: checks the rest without an app, and does not wait', async () => {
    const bitbucket = bitbucketSignIn<TestUser>({
      passport: new Passport(),
      secrets: ['kFh3-9sLq0ZrXw7TnBv2YcEd5UaMg8Pj'],
      connection: { clientID: 'a', clientSecret: 'b', callbackURL: 'http://localhost/auth/bitbucket/callback' },
      accounts: new TestAccounts().hooks(),
      sendEmailCode: () => {},
    })
    const report = await bitbucket.doctor(undefined, { bitbucket: false })
    expect(report.findings).toContainEqual(expect.objectContaining({ check: 'app', verdict: 'unknown' }))
    expect(report.findings).toContainEqual(expect.objectContaining({ check: 'serializers', verdict: 'problem' }))
    bitbucket.close()
  })

  it('sends Bitbucket nothing when told not to', async () => {
    const report = await examine(fake, (parts) => {
      parts.doctor = { bitbucket: false }
    })
    expect(fake.count()).toBe(0)
    expect(report.ok).toBe(true)
  })

  it('names what it cannot check when the connection is a function of the app', async () => {
    const resolver = (connection: Parts['connection']) => () => connection
    const unseen = await examine(fake, (parts) => {
      parts.resolver = resolver
    })
    expect(unseen.findings.find(({ check }) => check === 'connection')).toMatchObject({ verdict: 'unknown' })
    const seen = await examine(fake, (parts) => {
      parts.resolver = resolver
      parts.doctor = { connection: parts.connection }
    })
    expect(seen.findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
  })

  it('reports a doubt for what Bitbucket does not say', async () => {
    const report = await examine(fake, (parts) => {
      parts.fake.addClient({ ...CLIENT, private: false })
      parts.fake.script('authorize', { redirect: 'https://id.atlassian.com/login' })
    })
    const unknown = report.findings.filter(({ verdict }) => verdict === 'unknown').map(({ check }) => check)
    expect(unknown).toEqual(['callback', 'scopes'])
    expect(report.ok).toBe(true)
  })

  it('prints the worst finding first, with the fix under it', async () => {
    const text = String(await examine(fake, (parts) => parts.app.set('trust proxy', false)))
    expect(text).toMatch(/^PROBLEM {2}trust-proxy/)
    expect(text).toContain('Fix: Set app.set("trust proxy", 1)')
    expect(text).toMatch(/1 problem, no warnings, \d+ in order/)
  })
})
