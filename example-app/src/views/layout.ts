import type { Request, Response } from 'express'
import { isAdmin } from '../web/guards.js'
import { languageOf } from '../web/language.js'
import type { Services } from '../web/services.js'
import { type Html, html } from './html.js'
import { outcomeOf } from './outcome.js'

/** Sends one of our pages: header, what there is to say, the body. */
export function sendPage(services: Services, req: Request, res: Response, title: string, body: Html): void {
  const notice = req.session?.notice
  if (notice !== undefined) delete req.session.notice
  const user = req.user
  const outcome = outcomeOf(req)
  const here = req.path
  const link = (href: string, label: string) =>
    html`<a href="${href}"${here === href && html` aria-current="page"`}>${label}</a>`
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${res.statusCode >= 400 && 'Error: '}${title} · Corkboard</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/app.css">
<link rel="stylesheet" href="/bitbucket-button.css">
<script src="/copy.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to content</a>
${services.config.demo && demoBar(services)}
<header class="top">
<a class="brand" href="/"><img src="/icon.svg" alt="" width="28" height="28">Corkboard${req.place?.application === 'desk' && html` <span class="tag">Desk</span>`}</a>
${req.place?.tenant && html`<span class="tenant">${req.place.tenant}</span>`}
<nav aria-label="Main">
${link('/', 'Board')}
${user && link('/company', 'Company')}
${services.config.demo && link('/scenarios', 'Scenarios')}
${isAdmin(user, services.config) && html`<a href="/admin/connections"${here.startsWith('/admin') && html` aria-current="page"`}>Administration</a>`}
${
  user
    ? html`<a class="me" href="/account"${here === '/account' && html` aria-current="page"`}><span class="avatar small" aria-hidden="true">${initials(user.name)}</span>${user.name}</a>
<form method="post" action="/sign-out"><button class="quiet">Sign out</button></form>`
    : link('/sign-in', 'Sign in')
}
</nav>
</header>
<main id="main" tabindex="-1">
${notice && (notice.isProblem ? html`<p class="problem" role="alert">${notice.text}</p>` : html`<p class="notice" role="status">${notice.text}</p>`)}
${outcome !== undefined && html`<p class="notice" role="status">${outcome}</p>`}
${body}
</main>
<footer class="foot"><form method="post" action="/language" class="inline"><span>Bitbucket pages in</span>
${[
  ['en', 'English'],
  ['de', 'Deutsch'],
].map(
  ([code = '', name]) =>
    html`<button class="quiet" name="language" value="${code}" lang="${code}" aria-pressed="${code === languageOf(req) ? 'true' : 'false'}">${name}</button>`,
)}</form></footer>
</body>
</html>`
  res.type('html').set('Cache-Control', 'no-store').send(document.text)
}

function demoBar(services: Services): Html {
  return html`<aside class="demo" aria-label="Demo">Demo: a <strong>fake Bitbucket</strong> at <a href="${services.authorizeOrigin}">${services.authorizeOrigin}</a> stands in for bitbucket.org.
Email goes to the <a href="/dev/mailbox">mailbox</a>.</aside>`
}

/** A refusal above a form. */
export const problemBox = (problem: string | undefined) =>
  problem !== undefined && html`<p class="problem" id="problem" role="alert">${problem}</p>`

/** For the field that it is about: the user starts there, and a screen reader reads the refusal with it. */
export const refused = (problem: string | undefined) =>
  problem !== undefined && html` aria-invalid="true" aria-describedby="problem" autofocus`

export function initials(name: string): string {
  const words = name.trim().split(/\s+/)
  return [words[0], words.length > 1 ? words.at(-1) : '']
    .map((word) => [...(word ?? '')][0] ?? '')
    .join('')
    .toUpperCase()
}

/** A time as people of any place can read it. */
export const when = (iso: string): Html =>
  html`<time datetime="${iso}">${new Date(iso).toISOString().slice(0, 16).replace('T', ' ')} UTC</time>`
