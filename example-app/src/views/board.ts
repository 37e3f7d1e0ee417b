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

export function boardView(notes: readonly Note[], user: User | undefined, bitbucketOffered: boolean): Html {
  return html`<h1>Board</h1>
${user ? composer() : welcome(bitbucketOffered)}
${
  notes.length === 0
    ? html`<p class="empty">Nothing is pinned here yet.</p>`
    : html`<ul class="notes">${notes.map((note) => noteCard(note, user))}</ul>`
}`
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

function noteCard(note: Note, user: User | undefined): Html {
  return html`<li class="note">
<p>${note.body}</p>
<footer><span class="avatar small" aria-hidden="true">${initials(note.name)}</span><span>${note.name}<br><small>${when(note.created_at)}</small></span>
${
  note.user_id === user?.id &&
  html`<form method="post" action="/notes/${note.id}/delete"><button class="quiet" aria-label="Remove note “${note.body.slice(0, 40)}”">Remove</button></form>`
}
</footer></li>`
}
