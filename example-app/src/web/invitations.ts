import { Router } from 'express'
import { z } from 'zod'
import { invite, rememberInvitation } from '../accounts/invitations.js'
import { originOf } from '../bitbucket/places.js'
import { html, trusted } from '../views/html.js'
import { sendPage } from '../views/layout.js'
import { requireAdmin } from './guards.js'
import type { Services } from './services.js'

/** Invitations to tidy the board: our own data travels with a sign-in. */
export function invitationRoutes(services: Services): Router {
  const { db, config, mailer, bitbucket } = services
  const router = Router()

  router.post('/invitations', requireAdmin(config, bitbucket), async (req, res) => {
    const address = z.email().max(254).safeParse(req.body?.email)
    if (!address.success) {
      req.session.notice = { text: 'Enter an email address.', isProblem: true }
      return res.redirect(303, '/')
    }
    const token = await invite(db, address.data)
    const place = req.place ?? { tenant: null, application: 'board' }
    const link = `${originOf(place, config)}/invitation/${token}`
    mailer.sendLater({
      to: address.data,
      subject: 'Help to tidy the board',
      text: `You are invited to tidy our board at Corkboard. Open ${link}\nThe invitation is for this address and works for 7 days.`,
    })
    req.session.notice = { text: `We emailed an invitation to ${address.data}.` }
    res.redirect(303, '/')
  })

  router.get('/invitation/:token', async (req, res) => {
    rememberInvitation(res, String(req.params.token))
    const button = await bitbucket.button(req, { returnTo: '/', looks: 'class' })
    const body = html`<div class="narrow card"><h1>You are invited</h1>
<p>Help to tidy the board: you may then remove every note. Sign in with the Bitbucket account of the address that we wrote to.</p>
${trusted(button)}</div>`
    sendPage(services, req, res, 'Invitation', body)
  })

  return router
}
