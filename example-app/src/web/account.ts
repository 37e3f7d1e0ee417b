import { type Request, Router } from 'express'
import { z } from 'zod'
import { hashPassword } from '../accounts/passwords.js'
import { endSessions, rowId } from '../accounts/session-store.js'
import { deleteUser, identitiesOf, type User } from '../accounts/users.js'
import { accountView } from '../views/account.js'
import { sendPage } from '../views/layout.js'
import { requireRecentSignIn } from './guards.js'
import type { Services } from './services.js'
import { signInByPassword } from './sign-in.js'

const newPassword = z.string().min(10).max(200)

/** Everything a person can see and do about the own account. */
export function accountRoutes(services: Services): Router {
  const { db, activity, bitbucket } = services
  const router = Router()
  const recently = requireRecentSignIn(bitbucket)
  // A form whose session ended redirects back to its page.
  const requireUser = bitbucket.requireSignedIn()
  const record = (req: Request, type: string, userId: string, detail: string) =>
    activity.record(type, userId, req.place?.tenant ?? null, detail)

  /** The signed-in user as data: for scripts, and for tests. */
  router.get('/me', async (req, res) => {
    const user = req.user
    if (!user) return void res.json({ user: null })
    const identities = (await identitiesOf(db, user.id)).map((row) => ({
      provider: 'bitbucket',
      id: row.provider_user_id,
      nickname: row.nickname,
    }))
    const { id, name, email, emailVerified } = user
    res.set('Cache-Control', 'no-store').json({ user: { id, name, email, emailVerified, identities } })
  })

  router.get('/account', requireUser, async (req, res) => {
    const user = req.user as User
    const [identities, sessions, events, offered] = await Promise.all([
      identitiesOf(db, user.id),
      db.selectFrom('sessions').selectAll().where('user_id', '=', user.id).orderBy('created_at', 'desc').execute(),
      activity.ofUser(user.id),
      bitbucket.offered(req),
    ])
    const thisSession = rowId(req.sessionID)
    // The row of a session that has just begun does not say yet what the session does.
    const mine = sessions.find((each) => each.id === thisSession)
    if (mine) mine.device = req.session.device ?? null
    const body = accountView({ user, identities, sessions, thisSession, events, offered })
    sendPage(services, req, res, 'Your account', body)
  })

  router.post('/account/sessions/end', requireUser, async (req, res) => {
    const user = req.user as User
    if (req.body?.id === undefined) await endSessions(db, user.id, req.sessionID)
    else await db.deleteFrom('sessions').where('id', '=', String(req.body.id)).where('user_id', '=', user.id).execute()
    record(req, 'sessions_ended', user.id, req.body?.id === undefined ? 'All other sessions' : 'One session')
    res.redirect(303, '/account')
  })

  router.post('/account/password', requireUser, recently, async (req, res) => {
    const user = req.user as User
    const input = newPassword.safeParse(req.body?.password)
    if (!input.success || !user.emailVerified) {
      const text = user.emailVerified ? 'Choose a password of at least 10 characters.' : 'Confirm your address first.'
      req.session.notice = { text, isProblem: true }
    } else {
      const password_hash = await hashPassword(input.data)
      await db.updateTable('users').set({ password_hash }).where('id', '=', user.id).execute()
      // A new id here, and the other sessions ended: a stolen copy of this cookie is signed out as well.
      await endSessions(db, user.id)
      await signInByPassword(req, user)
      record(req, 'password_set', user.id, 'Other sessions were ended')
      req.session.notice = { text: 'Your password is set.' }
    }
    res.redirect(303, '/account')
  })

  router.post('/account/delete', requireUser, recently, async (req, res) => {
    const user = req.user as User
    if (req.body?.sure !== 'yes') return res.redirect(303, '/account')
    await bitbucket.forget(req, res)
    // Sessions go with the user, this one included.
    await deleteUser(db, user.id)
    services.log.info({ userId: user.id }, 'account deleted')
    await new Promise<void>((resolve, reject) => req.session.regenerate((error) => (error ? reject(error) : resolve())))
    req.session.notice = { text: 'Your account is deleted.' }
    res.redirect(303, '/')
  })

  return router
}
