import { type Request, type Response, Router } from 'express'
import { z } from 'zod'
import { hashPassword } from '../accounts/passwords.js'
import { confirmAddress, openAccount, resetPassword } from '../accounts/proven-address.js'
import { findRowByEmail, type User } from '../accounts/users.js'
import { networkOf } from '../limits.js'
import { sendPage } from '../views/layout.js'
import { codeView, noCodeView, resetView, type SignUpView, signUpView } from '../views/sign-up.js'
import type { Services } from './services.js'
import { OWN_STAMP, signInByPassword } from './sign-in.js'

const email = z.email({ error: 'Enter an email address.' }).max(254)
const password = z.string().min(10, { error: 'Choose a password of at least 10 characters.' }).max(200)
const signUp = z.object({ name: z.string().trim().min(1, { error: 'Enter your name.' }).max(80), email, password })
const TOO_MANY_MAILS = 'Too many emails requested. Try again in an hour.'
const WRONG_CODE: Record<'wrong' | 'gone', string> = {
  wrong: 'That is not the code we sent.',
  gone: 'This code was already used or has expired. Start again to get another one.',
}

/**
 * Accounts of our own: sign-up, check of an address, password reset, all by emailed code. An account is created
 * only when its address is proven, so no one can reserve another person's address. Known and unknown addresses get
 * the same page after the same time; only the email, which the owner reads, differs.
 */
export function signUpRoutes(services: Services): Router {
  const { db, codes, mailer, limits, activity } = services
  const router = Router()
  const requireUser = services.bitbucket.requireSignedIn({ returnTo: () => '/account' })
  type Purpose = 'sign-up' | 'verify' | 'reset'

  const mayMail = (req: Request, address: string) =>
    limits.mayMail(address, networkOf(req.ip), services.knownBrowsers.idOf(req, address))

  /** Remembers in this browser which code is awaited; the code itself goes by mail only. */
  const waitForCode = (req: Request, purpose: Purpose, address: string, id: string) => {
    req.session.emailCode = { id, purpose, email: address }
  }
  const mailCode = (to: string, code: string, what: string) =>
    mailer.sendLater({
      to,
      subject: `Your code for Corkboard: ${what}`,
      text: `${code}\n\nThis code is for: ${what}. It works for 10 minutes, in the browser that asked for it.\nIf that was not you, ignore this email.`,
    })

  const showSignUp = async (req: Request, res: Response, view: Omit<SignUpView, 'button'> = {}) => {
    const button = await services.bitbucket.button(req, { looks: 'class' })
    sendPage(services, req, res, 'Create an account', signUpView({ ...view, button }))
  }
  router.get('/sign-up', (req, res) => showSignUp(req, res))

  router.post('/sign-up', async (req, res) => {
    const input = signUp.safeParse(req.body)
    const again = (status: number, problem: string, field: unknown) => {
      return showSignUp(req, res.status(status), { problem, field, name: req.body?.name, email: req.body?.email })
    }
    if (!input.success) {
      const [issue] = input.error.issues
      return again(400, issue?.message ?? '', issue?.path[0])
    }
    const { data } = input
    if (!(await mayMail(req, data.email))) return again(429, TOO_MANY_MAILS, 'email')
    const held = (await findRowByEmail(db, data.email))?.email_verified === 1
    const request = {
      purpose: 'sign-up',
      email: data.email,
      name: data.name,
      password_hash: await hashPassword(data.password),
    } as const
    const { id, code } = await codes.issue(request, { decoy: held })
    if (held) mailer.sendLater(alreadyHere(data.email))
    else mailCode(data.email, code, 'creating your account')
    waitForCode(req, 'sign-up', data.email, id)
    res.redirect(303, '/code')
  })

  router.post('/account/verify', requireUser, async (req, res) => {
    const user = req.user as User
    if (user.email === null || user.emailVerified) return res.redirect(303, '/account')
    if (!(await mayMail(req, user.email))) {
      req.session.notice = { text: TOO_MANY_MAILS, isProblem: true }
      return res.redirect(303, '/account')
    }
    const { id, code } = await codes.issue({ purpose: 'verify', email: user.email, user_id: user.id }, { decoy: false })
    mailCode(user.email, code, 'confirming your address')
    waitForCode(req, 'verify', user.email, id)
    res.redirect(303, '/code')
  })

  router.get('/code', (req, res) => showCode(req, res))

  const showCode = (req: Request, res: Response, problem?: string) => {
    const waiting = req.session.emailCode
    if (!waiting) return sendPage(services, req, res.status(400), 'No code to enter', noCodeView())
    sendPage(
      services,
      req,
      res,
      'Enter the code',
      codeView({ ...waiting, problem, hasMailbox: services.config.hasMailbox }),
    )
  }

  router.post('/code', async (req, res) => {
    const waiting = req.session.emailCode
    if (!waiting) return showCode(req, res)
    const newPassword = waiting.purpose === 'reset' ? password.safeParse(req.body?.password) : null
    if (newPassword?.success === false) return showCode(req, res.status(400), newPassword.error.issues[0]?.message)
    const row = await codes.redeem(waiting.id, String(req.body?.code ?? ''))
    if (row === 'wrong' || row === 'gone') return showCode(req, res.status(400), WRONG_CODE[row])
    delete req.session.emailCode
    if (row.purpose === 'verify') {
      // The code is good only for the account that asked for it.
      if (row.user_id !== req.user?.id) return res.redirect(303, '/account')
      await confirmAddress(db, row.user_id, row.email)
      req.session.notice = { text: 'Your address is confirmed.' }
      return res.redirect(303, '/account')
    }
    const user =
      row.purpose === 'sign-up'
        ? await openAccount(db, row.name ?? '', row.email, row.password_hash ?? '')
        : await resetPassword(db, row.user_id ?? '', row.email, await hashPassword(newPassword?.data ?? ''))
    if (!user) {
      const text = 'This address now belongs to an account. Sign in to it.'
      req.session.notice = { text, isProblem: true }
      return res.redirect(303, '/sign-in')
    }
    await signInByPassword(req, user)
    const type = row.purpose === 'sign-up' ? 'signed_up' : 'password_reset'
    activity.record(type, user.id, req.place?.tenant ?? null, 'With an emailed code')
    res.redirect(303, (await services.bitbucket.signedIn(req, OWN_STAMP)) ?? '/account')
  })

  router.get('/reset', (req, res) => sendPage(services, req, res, 'Reset your password', resetView()))

  router.post('/reset', async (req, res) => {
    const input = email.safeParse(req.body?.email)
    const again = (status: number, problem: string) => {
      const view = resetView({ problem, email: req.body?.email })
      sendPage(services, req, res.status(status), 'Reset your password', view)
    }
    if (!input.success) return again(400, 'Enter an email address.')
    if (!(await mayMail(req, input.data))) return again(429, TOO_MANY_MAILS)
    const account = await findRowByEmail(db, input.data)
    const request = { purpose: 'reset', email: input.data, user_id: account?.id ?? null } as const
    const { id, code } = await codes.issue(request, { decoy: !account })
    if (account) mailCode(input.data, code, 'setting a new password')
    else mailer.sendLater(notHere(input.data))
    waitForCode(req, 'reset', input.data, id)
    res.redirect(303, '/code')
  })

  return router
}

const alreadyHere = (to: string) => ({
  to,
  subject: 'You already have an account at Corkboard',
  text: 'Someone, perhaps you, tried to create an account with this address. It has one: sign in, or reset your password.',
})

const notHere = (to: string) => ({
  to,
  subject: 'No account at Corkboard',
  text: 'Someone, perhaps you, requested a new password for this address. There is no account with it.',
})
