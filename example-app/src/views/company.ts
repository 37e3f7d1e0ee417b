import type { User } from '../accounts/users.js'
import type { Role } from '../database/schema.js'
import { type Html, html } from './html.js'
import { initials } from './layout.js'

const ROLES: Record<Role, string> = { admin: 'Admin', editor: 'Editor', viewer: 'Viewer' }

interface CompanyView {
  readonly user: User
  readonly members: readonly { readonly name: string; readonly role: Role | null }[]
  /** The controls of the demo, `null` = no demo. */
  readonly demo: { readonly down: boolean; readonly seconds: number } | null
}

export function companyView({ user, members, demo }: CompanyView): Html {
  return html`<h1>Company</h1>
<p class="lead">For members of our Bitbucket workspace. Your role here: <strong>${user.role ? ROLES[user.role] : 'none'}</strong>, as the workspace has it.</p>
<section class="card"><h2>Members who signed in</h2><ul class="rows">${members.map(
    ({ name, role }) =>
      html`<li><div class="inline"><span class="avatar small" aria-hidden="true">${initials(name)}</span>${name}</div>${role && html`<span class="badge plain">${ROLES[role]}</span>`}</li>`,
  )}</ul></section>
${demo && demoControls(demo)}`
}

function demoControls({ down, seconds }: CompanyView['demo'] & {}): Html {
  const button = (action: string, label: string) =>
    html`<button class="second" name="action" value="${action}">${label}</button>`
  return html`<section class="card"><h2>In this demo</h2>
<p>Bitbucket confirms a membership at each sign-in. After ${seconds} seconds this page asks to confirm it again; in production, set hours. Change something at the fake Bitbucket, wait, and reload. The page <a href="/scenarios">Scenarios</a> brings Bitbucket back.</p>
<form method="post" action="/company/demo" class="inline"><input type="hidden" name="returnTo" value="/company">${button('leave', 'Leave the workspace')}${down ? button('up', 'Bitbucket is back') : button('down', 'Bitbucket goes down')}</form></section>`
}

export function companyOffView(): Html {
  return html`<h1>Company</h1><p class="lead">This page is for members of a Bitbucket workspace, and none is set here.
An administrator names workspaces under Administration › Social connections › Bitbucket.</p>`
}
