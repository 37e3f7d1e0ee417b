import { fileURLToPath } from 'node:url'
import express, { type Express } from 'express'
import session from 'express-session'
import passport from 'passport'
import { buttonStyle } from 'passport-bitbucket-signin'
import { SqlSessionStore } from './accounts/session-store.js'
import { findUser } from './accounts/users.js'
import { requestLog } from './log.js'
import type {} from './types.js'
import { html } from './views/html.js'
import { sendPage } from './views/layout.js'
import { accountRoutes } from './web/account.js'
import { adminRoutes } from './web/admin.js'
import { boardRoutes } from './web/board.js'
import { companyRoutes } from './web/company.js'
import { deviceName } from './web/device.js'
import { onError } from './web/errors.js'
import { findPlace, requireRecentSignIn, sameOrigin } from './web/guards.js'
import { healthRoutes } from './web/health.js'
import { invitationRoutes } from './web/invitations.js'
import { languageRoutes } from './web/language.js'
import { mailboxRoutes } from './web/mailbox.js'
import { type Demo, scenarioRoutes } from './web/scenarios.js'
import { securityHeaders } from './web/security-headers.js'
import type { Services } from './web/services.js'
import { signInRoutes } from './web/sign-in.js'
import { signUpRoutes } from './web/sign-up.js'

/** The whole app in the order in which a request passes through it. */
export function createApp(services: Services, demo: Demo | null): Express {
  const { config, db, log, bitbucket, knownBrowsers } = services
  const app = express()
  app.disable('x-powered-by')
  if (config.trustProxy !== undefined) app.set('trust proxy', config.trustProxy)

  app.use(requestLog(log))
  app.use(healthRoutes(services))
  app.use(securityHeaders(services.authorizeOrigin, config.secure))
  app.use(findPlace(config))
  app.use(express.static(fileURLToPath(new URL('../public', import.meta.url)), { maxAge: '1h' }))

  // As a style sheet, because our Content-Security-Policy allows no `style` attributes.
  app.get('/bitbucket-button.css', (_req, res) => res.type('css').send(buttonStyle))

  // Starting a sign-in needs no session, so it is answered before one is looked up.
  app.get('/auth/bitbucket', bitbucket.start)

  app.use(
    session({
      name: config.sessionCookie,
      secret: [...config.secrets],
      store: new SqlSessionStore(db),
      resave: false,
      saveUninitialized: false,
      // Lax, not Strict: Bitbucket redirects back from another site, and the browser must send the session cookie.
      cookie: { httpOnly: true, sameSite: 'lax', secure: config.secure, maxAge: 14 * 24 * 60 * 60 * 1000 },
    }),
  )
  passport.serializeUser((user, done) => done(null, user.id))
  passport.deserializeUser((id: string, done) => {
    // Suspended or deleted meanwhile: the session still exists, but no user is signed in.
    findUser(db, id).then((user) => done(null, user?.status === 'active' ? user : false), done)
  })
  app.use(passport.session())
  app.use((req, res, next) => {
    // A sign-in starts a new session, whichever way it came about; the account page has to call it something.
    if (req.user && req.session.device === undefined) req.session.device = deviceName(req.get('user-agent'))
    const { email = null, emailVerified } = req.user ?? {}
    if (email !== null && emailVerified && !knownBrowsers.idOf(req, email)) knownBrowsers.remember(res, email)
    next()
  })

  app.use(
    ['/auth/bitbucket/link', '/auth/bitbucket/unlink'],
    bitbucket.requireSignedIn(),
    requireRecentSignIn(bitbucket),
  )
  app.use('/auth/bitbucket', bitbucket.router)

  app.use(sameOrigin(config))
  app.use(express.urlencoded({ extended: false, limit: '16kb' }))
  app.use(languageRoutes())
  app.use(boardRoutes(services), signInRoutes(services), signUpRoutes(services), accountRoutes(services))
  app.use(invitationRoutes(services), companyRoutes(services, demo))
  if (demo) app.use(scenarioRoutes(services, demo))
  if (config.hasMailbox) app.use(mailboxRoutes(services))
  app.use(adminRoutes(services))

  app.use((req, res) => {
    res.status(404)
    sendPage(
      services,
      req,
      res,
      'Not found',
      html`<h1>Not found</h1><p>There is nothing here. <a href="/">To the board</a></p>`,
    )
  })
  app.use(onError(services))
  return app
}
