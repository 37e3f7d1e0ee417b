import type { User } from '../accounts/users.js'
import { type Html, html } from './html.js'
import { initials, when } from './layout.js'

interface Note {
  readonly id: string
  readonly body: string
  readonly created_at: string
  readonly user_id: string
  readonly name: string
}

interface Visitor {
  readonly user: User | undefined
  readonly offered: boolean
  /** Whether this user may invite others to tidy. */
  readonly invites: boolean
}

export function boardView(notes: readonly Note[], { user, offered, invites }: Visitor): Html {
  return html`<h1>Board</h1>
${user ? composer() : welcome(offered)}
${
  notes.length === 0
    ? html`<p class="empty">Nothing is pinned here yet.</p>`
    : html`<ul class="notes">${notes.map((note) => noteCard(note, user))}</ul>`
}
${invites && invitationForm()}`
}

function welcome(bitbucketOffered: boolean): Html {
  return html`<p class="lead">Short notes for a team, pinned where everybody sees them.
<a href="/sign-in">Sign in</a>${bitbucketOffered && ' with Bitbucket or a password'} to pin one.</p>`
}

function composer(): Html {
  return html`<form class="composer card" method="post" action="/notes">
<label for="body">New note</label>
<textarea id="body" name="body" rows="3" maxlength="500" required></textarea>
<button>Pin it</button>
</form>`
}

function invitationForm(): Html {
  return html`<form class="card" method="post" action="/invitations"><h2>Invite someone to tidy the board</h2>
<p>They may remove every note. We email a link; it counts for an account that has proven this address.</p>
<label for="invited">Email address</label><div class="inline"><input id="invited" name="email" type="email" required autocomplete="off">
<button class="second">Invite</button></div></form>`
}

function noteCard(note: Note, user: User | undefined): Html {
  return html`<li class="note">
<p>${note.body}</p>
<footer><span class="avatar small" aria-hidden="true">${initials(note.name)}</span><span>${note.name}<br><small>${when(note.created_at)}</small></span>
${
  (note.user_id === user?.id || user?.tidies) &&
  html`<form method="post" action="/notes/${note.id}/delete"><button class="quiet" aria-label="Remove note “${note.body.slice(0, 40)}”">Remove</button></form>`
}
</footer></li>`
}
