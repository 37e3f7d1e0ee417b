import type { Selectable } from 'kysely'
import type { ActivityEntry } from '../accounts/activity.js'
import type { User } from '../accounts/users.js'
import type { IdentitiesTable, SessionsTable } from '../database/schema.js'
import { activityList } from './activity.js'
import { type Html, html } from './html.js'
import { initials, when } from './layout.js'

interface AccountView {
  readonly user: User
  readonly identities: readonly Selectable<IdentitiesTable>[]
  readonly sessions: readonly Selectable<SessionsTable>[]
  readonly thisSession: string
  readonly events: readonly ActivityEntry[]
  readonly offered: boolean
}

export function accountView(view: AccountView): Html {
  const { user } = view
  return html`<div class="person"><span class="avatar" aria-hidden="true">${initials(user.name)}</span>
<div><h1>${user.name}</h1><p>${address(user)}</p></div></div>
${waysToSignIn(view)}
${sessionList(view)}
<section class="card"><h2>Activity</h2>
${activityList(view.events, { people: false })}
</section>
<section class="card danger"><h2>Delete my account</h2>
<p>Your notes, your connection to Bitbucket and your sessions are deleted with it. This cannot be undone.</p>
<form method="post" action="/account/delete">
<label class="box"><input type="checkbox" name="sure" value="yes" required> Yes, delete everything</label>
<button class="dangerous">Delete my account</button></form>
</section>`
}

function address(user: User): Html {
  if (user.email === null) return html`<span class="badge warn">No email address</span>`
  return user.emailVerified
    ? html`${user.email} <span class="badge good">verified</span>`
    : html`${user.email} <span class="badge warn">not verified</span>
<form method="post" action="/account/verify" class="inline"><button class="quiet">Email me a code</button></form>`
}

function waysToSignIn({ user, identities, offered }: AccountView): Html {
  return html`<section class="card"><h2>Ways to sign in</h2>
<ul class="rows">
<li><div><strong>Password</strong><br><small>${user.hasPassword ? 'Set' : 'Not set'}${!user.emailVerified && '. Confirm your address first to choose one.'}</small></div>
${user.emailVerified && passwordForm(user)}</li>
${identities.map(
  (
    identity,
  ) => html`<li><div><strong>Bitbucket</strong><br><small>Connected: ${identity.nickname ?? JSON.parse(identity.profile).displayName}</small></div>
<form method="post" action="/auth/bitbucket/unlink" class="inline"><input type="hidden" name="id" value="${identity.provider_user_id}"><input type="hidden" name="returnTo" value="/account">
<button class="second">Disconnect</button></form></li>`,
)}
${
  identities.length === 0 &&
  offered &&
  html`<li><div><strong>Bitbucket</strong><br><small>Not connected</small></div><a class="button second" href="/auth/bitbucket/link?returnTo=/account">Connect Bitbucket</a></li>`
}
</ul></section>`
}

function passwordForm({ email, hasPassword }: User): Html {
  return html`<form method="post" action="/account/password" class="inline">
<input name="username" autocomplete="username" value="${email}" hidden>
<label for="password" class="hidden">New password</label>
<input id="password" name="password" type="password" autocomplete="new-password" minlength="10" required placeholder="New password">
<button class="second">${hasPassword ? 'Change' : 'Set a password'}</button></form>`
}

function sessionList({ sessions, thisSession }: AccountView): Html {
  const row = (session: Selectable<SessionsTable>) => html`<li><div><strong>${session.device ?? 'A browser'}</strong>
${session.id === thisSession && html`<span class="badge good">this one</span>`}<br><small>since ${when(session.created_at)}</small></div>
${
  session.id !== thisSession &&
  html`<form method="post" action="/account/sessions/end" class="inline"><input type="hidden" name="id" value="${session.id}">
<button class="quiet">End</button></form>`
}</li>`
  return html`<section class="card"><h2>Active sessions</h2>
<ul class="rows">${sessions.map(row)}</ul>
${sessions.length > 1 && html`<form method="post" action="/account/sessions/end"><button class="second">End all others</button></form>`}
</section>`
}
