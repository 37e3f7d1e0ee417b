import { type Request, type Response, Router } from 'express'
import { z } from 'zod'
import { passwordMatches } from '../accounts/passwords.js'
import { findRowByEmail, toUser, type User } from '../accounts/users.js'
import { DEMO_ADMIN } from '../config.js'
import { networkOf } from '../limits.js'
import { sendPage } from '../views/layout.js'
import { signInView } from '../views/sign-in.js'
import type { Services } from './services.js'

const credentials = z.object({ email: z.string().max(254), password: z.string().max(200) })
const TOO_MANY = 'Too many tries. Try again later, or reset your password.'
// The same words whether the address is unknown or the password is wrong: the page does not reveal who has an account.
const WRONG = 'Incorrect email or password.'

/** Sign-in by password, sign-out. Bitbucket's own routes are the package's; this page shows its button. */
export function signInRoutes(services: Services): Router {
  const { bitbucket, limits, db, activity, config, knownBrowsers } = services
  const router = Router()

  const showSignIn = async (req: Request, res: Response, problem?: string, email = '') => {
    const returnTo = ownPage(req.query.returnTo ?? req.body?.returnTo)
    const button = await bitbucket.button(req, { returnTo, looks: 'class' })
    const pending = bitbucket.pending(req)
    const demo = config.demo ? { admin: config.adminEmail === DEMO_ADMIN } : null
    sendPage(
      services,
      req,
      res,
      'Sign in',
      signInView({ button, pending, returnTo, problem, email, demo, isSignedIn: req.user !== undefined }),
    )
  }

  // Also for those who are signed in: this is where they confirm that it is still them.
  router.get('/sign-in', (req, res) => showSignIn(req, res, undefined, req.user?.email ?? ''))

  router.post('/sign-in', async (req, res) => {
    const input = credentials.safeParse(req.body)
    if (!input.success) return showSignIn(req, res.status(400), WRONG)
    const { email, password } = input.data
    if (!(await limits.mayTryPassword(email, networkOf(req.ip), knownBrowsers.idOf(req, email))))
      return showSignIn(req, res.status(429), TOO_MANY, email)
    const row = await findRowByEmail(db, email)
    const right = await passwordMatches(row?.password_hash, password)
    if (!row || !right || row.status !== 'active') return showSignIn(req, res.status(401), WRONG, email)
    const isConfirmed = req.user?.id === row.id
    await signInByPassword(req, toUser(row))
    if (isConfirmed) req.session.notice = { text: 'Confirmed. You can continue now.' }
    activity.record('signed_in', row.id, req.place?.tenant ?? null, 'Signed in with password')
    // A pending sign-in with Bitbucket continues, or what was asked for before it.
    res.redirect(303, (await bitbucket.signedIn(req, OWN_STAMP)) ?? ownPage(req.body.returnTo))
  })

  router.post('/sign-out', async (req, res) => {
    await signOut(services, req, res)
    res.redirect(303, '/')
  })

  return router
}

/** Passport takes a new session id at `logIn`, so nothing an attacker planted before survives. */
export async function signInByPassword(req: Request, user: User): Promise<void> {
  const { connectionDraft } = req.session
  await new Promise<void>((resolve, reject) => req.logIn(user, (error) => (error ? reject(error) : resolve())))
  req.session.passwordAt = Date.now()
  if (connectionDraft?.userId === user.id) req.session.connectionDraft = connectionDraft
  await new Promise<void>((resolve, reject) => req.session.save((error) => (error ? reject(error) : resolve())))
}

/** Ends the session here, and what is open between this browser and Bitbucket. */
export async function signOut({ bitbucket, config }: Services, req: Request, res: Response): Promise<void> {
  await bitbucket.forget(req, res)
  await new Promise<void>((resolve, reject) => req.session.destroy((error) => (error ? reject(error) : resolve())))
  res.clearCookie(config.sessionCookie, { secure: config.secure })
}

/** `passwordAt` says when a password was typed, see `signedInAt`; the package need not stamp it as well. */
export const OWN_STAMP = { recent: false }

/** Where to go after the sign-in: only pages of this list, so there is nothing to get wrong about foreign URLs. */
export function ownPage(value: unknown): string {
  const isOurs =
    /^\/(account|company|scenarios|admin|admin\/(activity|bitbucket|connections))(\?level=[a-z0-9-]+)?$/.test(
      String(value),
    )
  return isOurs ? String(value) : '/'
}
