import { createHash } from 'node:crypto'

import escapeHtml = require('escape-html')

import type { FakePerson } from './people'
import type { FakeClient, World } from './world'

/** What an authorize request asks for, once it is worth showing to a person. */
export interface AuthorizeRequest {
  readonly client: FakeClient
  /** Where the answer goes. */
  readonly callback: string
  /** `redirect_uri` as sent; `null` = the registered callback is meant. */
  readonly redirectUri: string | null
  readonly state: string | null
  readonly scopes: readonly string[]
  readonly codeChallenge: string | null
  readonly codeChallengeMethod: 'S256' | 'plain'
}

const STYLE = `
:root { color-scheme: light dark; --ink: #172b4d; --soft: #44546f; --paper: #fff; --ground: #f1f2f4; --line: #8590a2;
  --act: #0c66e4; --on-act: #fff; --warn: #fff7d6; --on-warn: #533f04 }
@media (prefers-color-scheme: dark) { :root { --ink: #dee4ea; --soft: #b3bcc8; --paper: #22272b; --ground: #161a1d;
  --line: #8696a7; --act: #579dff; --on-act: #161a1d; --warn: #533f04; --on-warn: #fff7d6 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
header { background: var(--warn); color: var(--on-warn); padding: .75rem 1rem; text-align: center }
header p { margin: 0 }
main { max-width: 32rem; margin: 1.5rem auto; padding: 1.5rem 1.25rem; background: var(--paper); border-radius: .5rem }
h1 { font-size: 1.4rem; line-height: 1.25; margin: 0 0 1rem }
h2, legend { font-size: 1rem; font-weight: 600; margin: 1.25rem 0 .25rem; padding: 0 }
fieldset { border: 0; margin: 0; padding: 0 }
label { display: flex; gap: .75rem; align-items: center; min-height: 3rem; padding: .35rem .75rem; margin: .35rem 0;
  border: 1px solid var(--line); border-radius: .35rem; cursor: pointer }
label:has(:checked) { border-color: var(--act); box-shadow: inset 0 0 0 1px var(--act) }
input { width: 1.15rem; height: 1.15rem; flex: none; margin: 0; accent-color: var(--act) }
a { color: inherit }
.note { display: block; color: var(--soft); font-size: .9rem }
.actions { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.25rem }
button { flex: 1 1 8rem; min-height: 2.75rem; padding: 0 1rem; font: inherit; font-weight: 600; cursor: pointer;
  border: 1px solid var(--line); border-radius: .35rem; background: var(--paper); color: var(--ink) }
button.act { background: var(--act); border-color: var(--act); color: var(--on-act) }
:focus-visible { outline: 3px solid var(--act); outline-offset: 2px }
code { font-size: .9em }
`

/**
 * No `form-action`: browsers apply it to every redirect that follows a form, and the app's callback may lead anywhere.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "img-src 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Headers of every page of the fake's own. */
export const PAGE_HEADERS = {
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

/** Asks which person signs in, and whether to allow the client. The form posts to the URL it came from, query and all. */
export function consentPage(
  { client, callback, scopes }: AuthorizeRequest,
  people: readonly FakePerson[],
  signedIn: FakePerson | undefined,
): string {
  const chosen = signedIn ?? people[0]
  return page(
    `Allow ${client.name}?`,
    `<h1>Allow <q>${escapeHtml(client.name)}</q> to use your Bitbucket account?</h1>
<p>It asks for: ${scopes.map((scope) => `<code>${escapeHtml(scope)}</code>`).join(', ')}.
<span class="note">You will be redirected to ${escapeHtml(new URL(callback).origin)}.</span></p>
<form method="post">
<fieldset><legend>Sign in as</legend>
${people.map((person) => personChoice(person, person === chosen)).join('\n') || '<p>There is no one to choose.</p>'}
</fieldset>
<div class="actions"><button class="act" name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button></div>
</form>
${signedIn ? '<p><a href="/">Sign out of the fake</a></p>' : ''}`,
  )
}

/** The request itself is wrong, so Bitbucket does not redirect back. */
export function refusalPage(title: string, reason: string): string {
  return page(title, `<h1>${escapeHtml(title)}</h1>\n<p>${escapeHtml(reason)}</p>`)
}

/** The front page: people, clients, and how to sign out. */
export function frontPage(world: World, signedIn: FakePerson | undefined): string {
  const people = world.people.all.map((person) => `<li>${escapeHtml(person.displayName)} ${note(person)}</li>`)
  const clients = world.clients.all.map(
    ({ clientID, name }) => `<li><code>${escapeHtml(clientID)}</code> ${escapeHtml(name)}</li>`,
  )
  return page(
    'People and clients',
    `<h1>Fake Bitbucket</h1>
<p>An app whose connection points here signs in without a Bitbucket account.</p>
${signedIn ? signOutForm(signedIn) : ''}
<h2>People</h2>
<ul>${people.join('\n')}</ul>
<h2>OAuth clients</h2>
<ul>${clients.join('\n')}</ul>`,
  )
}

/** A picture with the person's initials, so that no demo needs the network. */
export function avatarImage(person: FakePerson): string {
  const initials = person.displayName
    .split(/\s+/)
    .map((word) => Array.from(word)[0] ?? '')
    .slice(0, 2)
    .join('')
  const hue = Number.parseInt(person.uuid.slice(1, 4), 16) % 360
  return `<svg xmlns="http://www.w3.org/2000/svg" width="128" height="128" viewBox="0 0 128 128"><rect width="128" height="128" fill="hsl(${hue} 60% 35%)"/><text x="64" y="64" dy=".35em" text-anchor="middle" font-family="sans-serif" font-size="52" fill="#fff">${escapeHtml(initials)}</text></svg>`
}

function page(title: string, content: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} – Fake Bitbucket</title>
<style>${STYLE}</style>
</head>
<body>
<header><p><strong>Fake Bitbucket – for development.</strong> No real account, no password.</p></header>
<main>
${content}
</main>
</body>
</html>
`
}

function personChoice(person: FakePerson, isChosen: boolean): string {
  return `<label><input type="radio" name="person" value="${escapeHtml(person.key)}" required${isChosen ? ' checked' : ''}>
<span>${escapeHtml(person.displayName)} ${note(person)}</span></label>`
}

function note({ emails }: FakePerson): string {
  const first = emails.find(({ primary }) => primary) ?? emails[0]
  if (!first) return '<span class="note">no email address</span>'
  const flaw = first.confirmed ? '' : ', not confirmed'
  const more = emails.length > 1 ? `, and ${emails.length - 1} more` : ''
  return `<span class="note">${escapeHtml(first.address + flaw + more)}</span>`
}

function signOutForm(person: FakePerson): string {
  return `<form method="post" action="/sign-out"><p>Signed in as ${escapeHtml(person.displayName)}.</p>
<div class="actions"><button>Sign out of the fake</button></div></form>`
}
