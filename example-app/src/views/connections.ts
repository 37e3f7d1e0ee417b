import type { Status } from '../bitbucket/settings.js'
import { type Html, html } from './html.js'

interface Summary {
  readonly level: string
  readonly status: Status
  /** Which applications offer it. */
  readonly applications: readonly string[]
  /** How many settings the level overrides. */
  readonly ownSettings: number
  readonly ownClient: boolean
}

export const statusBadge = (status: Status): Html =>
  html`<span class="badge ${status.startsWith('Enabled') ? 'good' : 'warn'}">${status}</span>`

/** The list of sign-in services, and who uses them. */
export function connectionsView({ levels, people }: { levels: readonly Summary[]; people: number }): Html {
  return html`<p class="path">Administration</p>
<div class="bar"><h1>Social connections</h1><a class="button" href="/admin/connections/add">Add connection</a></div>
<p class="lead">Services that people can sign in with, besides a password.</p>
<section class="card"><h2>Bitbucket</h2>
<p>${people === 1 ? '1 person has' : `${people} people have`} connected a Bitbucket account.</p>
<ul class="rows">${levels.map(siteRow)}</ul></section>
<p><a href="/admin/activity">Activity</a></p>`
}

function siteRow({ level, status, applications, ownSettings, ownClient }: Summary): Html {
  const name = level === 'default' ? 'All sites' : level
  const own = ownClient ? 'Own OAuth client' : ownSettings > 0 ? 'Overrides settings' : 'Inherits everything'
  return html`<li><div><strong>${name}</strong> ${statusBadge(status)}<br><small>${level === 'default' ? 'What tenants inherit' : own} · Used by ${applications.join(', ') || 'no application'}</small></div>
<a class="button second" href="/admin/bitbucket?level=${level}" aria-label="Configure Bitbucket for ${name}">Configure</a></li>`
}

/** What can be added: a tile for each service. */
export function addConnectionView({ bitbucket }: { bitbucket: Summary }): Html {
  return html`<p class="path">Administration › <a href="/admin/connections">Social connections</a></p>
<h1>Add connection</h1>
<ul class="tiles"><li><a class="card tile" href="/admin/bitbucket"><strong>Bitbucket</strong> ${statusBadge(bitbucket.status)}
<br><small>People sign in with their account at bitbucket.org.</small></a></li></ul>`
}
