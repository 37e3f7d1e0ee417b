import { Router } from 'express'
import type { RenderPage } from 'passport-bitbucket-signin'
import { html } from '../views/html.js'
import { sendPage, when } from '../views/layout.js'
import { languageOf } from './language.js'
import type { Services } from './services.js'

/** Adds a link to the mailbox to the package's page that asks for a code. */
export const withMailboxLink: RenderPage = (name, _page, { req, builtIn }) => {
  if (name !== 'email-code') return undefined
  const mailbox = html`<a href="/dev/mailbox" target="_blank">`
  const link =
    languageOf(req) === 'de'
      ? html`<p class="quiet">In der Entwicklung wird nichts versandt: Der Code liegt im ${mailbox}Postfach</a>.</p>`
      : html`<p class="quiet">No email is sent in development: the code is in the ${mailbox}mailbox</a>.</p>`
  return builtIn().replace('</main>', () => `${link.text}</main>`)
}

/** Unsent emails: a page for users, JSON for tests (`?to=` narrows both). Never mounted in production. */
export function mailboxRoutes(services: Services): Router {
  const router = Router()

  router.get('/dev/mailbox', async (req, res) => {
    const all = services.db.selectFrom('mails').selectAll().orderBy('at', 'desc').limit(50)
    const { to } = req.query
    const mails = await (typeof to === 'string' ? all.where('recipient', '=', to) : all).execute()
    if (req.accepts(['html', 'json']) === 'json') {
      const shown = mails.map(({ id, at, recipient, subject, body }) => ({
        id,
        at,
        to: recipient,
        subject,
        text: body,
      }))
      return void res.json({ mails: shown })
    }
    const list = mails.map(
      (mail) =>
        html`<li class="card"><h2>${mail.subject}</h2><p><small>to ${mail.recipient}, ${when(mail.at)}</small></p><pre>${mail.body}</pre></li>`,
    )
    const body = html`<h1>Mailbox</h1><p class="lead">Development only: the emails that were not sent, newest first. Reload this page after a step that sends one.</p>
${mails.length === 0 ? html`<p class="empty">No emails yet.</p>` : html`<ul class="mails">${list}</ul>`}`
    sendPage(services, req, res, 'Mailbox', body)
  })

  return router
}
