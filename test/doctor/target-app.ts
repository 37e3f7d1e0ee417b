import type { IncomingMessage, ServerResponse } from 'node:http'

import express = require('express')
import session = require('express-session')

import { Passport } from 'passport'
import {
  type BitbucketSignInOptions,
  bitbucketSignIn,
  type Connection,
  type DoctorOptions,
  type DoctorReport,
} from 'passport-bitbucket-signin'
import type { FakeBitbucket } from 'passport-bitbucket-signin/testing'
import { TestAccounts, type TestUser } from '../support/accounts'

type Layer = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => unknown

/** A healthy app in parts, as it runs in production behind a proxy that ends TLS. A test breaks one part. */
export interface Parts {
  readonly app: express.Express
  readonly passport: InstanceType<typeof Passport>
  readonly fake: FakeBitbucket
  session: session.SessionOptions & { cookie: session.CookieOptions }
  /** The layers before the router and after it. */
  before: (Layer | 'session' | 'passport')[]
  after: (Layer | 'session' | 'passport')[]
  mount: string
  connection: Connection
  resolver: ((connection: Connection) => BitbucketSignInOptions<TestUser>['connection']) | null
  options: Partial<BitbucketSignInOptions<TestUser>>
  without: Parameters<TestAccounts['hooks']>
  doctor: DoctorOptions
}

export const CALLBACK = 'https://app.example.com/auth/bitbucket/callback'

/** The client that is registered at the fake: private, so that it is told its own permissions. */
export const CLIENT = {
  clientID: 'target',
  clientSecret: 'target-secret',
  callbackURL: CALLBACK,
  scopes: ['account', 'email'],
  private: true,
}

/** Builds the app with one part broken, and runs the doctor. */
export async function examine(
  fake: FakeBitbucket,
  breakPart: (parts: Parts) => unknown = () => {},
): Promise<DoctorReport> {
  fake.reset()
  fake.addClient(CLIENT)
  const passport = new Passport()
  passport.serializeUser((user, done) => done(null, (user as TestUser).id))
  passport.deserializeUser((_id, done) => done(new Error('the doctor must not ask the app for a user')))
  const parts: Parts = {
    app: express(),
    passport,
    fake,
    session: {
      secret: 'session-secret',
      resave: false,
      saveUninitialized: false,
      cookie: { secure: true, sameSite: 'lax' },
      store: new session.MemoryStore(),
    },
    before: ['session', 'passport'],
    after: [],
    mount: '/auth/bitbucket',
    connection: {
      id: 'default',
      clientID: CLIENT.clientID,
      clientSecret: CLIENT.clientSecret,
      callbackURL: CALLBACK,
      endpoints: fake.endpoints,
    },
    resolver: null,
    options: {},
    without: [],
    doctor: {},
  }
  parts.app.set('trust proxy', 1)
  await breakPart(parts)
  return run(parts)
}

async function run(parts: Parts): Promise<DoctorReport> {
  const { app, passport, connection, resolver, options, without, mount } = parts
  const bitbucket = bitbucketSignIn<TestUser>({
    passport,
    secrets: ['kFh3-9sLq0ZrXw7TnBv2YcEd5UaMg8Pj'],
    connection: resolver ? resolver(connection) : connection,
    accounts: new TestAccounts().hooks(...without),
    sendEmailCode: () => {},
    ...options,
  })
  const layers = (names: Parts['before']) =>
    names.map((name) => (name === 'session' ? session(parts.session) : name === 'passport' ? passport.session() : name))
  for (const layer of layers(parts.before)) app.use(layer as express.RequestHandler)
  app.use(mount, bitbucket.router)
  for (const layer of layers(parts.after)) app.use(layer as express.RequestHandler)
  app.use((_req, res) => {
    res.status(404).send('not found')
  })
  try {
    return await bitbucket.doctor(app, parts.doctor)
  } finally {
    bitbucket.close()
  }
}
