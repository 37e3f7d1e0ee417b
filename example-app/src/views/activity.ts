import type { ActivityEntry } from '../accounts/activity.js'
import { type Html, html } from './html.js'
import { when } from './layout.js'

/** Labels of the events; one without a label shows its own name. */
const EVENTS: Readonly<Record<string, string>> = {
  signed_in: 'Signed in',
  signed_up: 'Signed up',
  linked: 'Bitbucket connected',
  unlinked: 'Bitbucket disconnected',
  reauthenticated: 'Confirmed with Bitbucket',
  claimed: 'Address proven and taken over',
  code_sent: 'Code emailed',
  code_failed: 'Code refused',
  refused: 'Sign-in refused',
  profile_changed: 'Bitbucket profile changed',
  scope_missing: 'Permission missing at Bitbucket',
  upstream_failed: 'Bitbucket did not answer',
  password_set: 'Password set',
  password_reset: 'Password reset',
  sessions_ended: 'Sessions ended',
  connection_changed: 'Connection changed',
  connection_tested: 'Connection tested',
  scenario: 'Scenario started',
}

export function activityList(events: readonly ActivityEntry[], { people }: { people: boolean }): Html {
  if (events.length === 0) return html`<p class="empty">Nothing yet.</p>`
  const who = ({ name, tenant }: ActivityEntry) =>
    people && html` · ${name ?? 'Not signed in'}${tenant !== null && html` · ${tenant}`}`
  const row = (event: ActivityEntry) =>
    html`<li><div><strong>${EVENTS[event.type] ?? event.type}</strong>${event.count > 1 && html` <span class="badge plain">${event.count} times within the hour</span>`}
<br><small>${event.detail}${who(event)}</small></div><small>${when(event.at)}</small></li>`
  return html`<ul class="rows">${events.map(row)}</ul>`
}

interface ActivityView {
  readonly events: readonly ActivityEntry[]
  readonly hasMore: boolean
  readonly page: number
  readonly tenant: string | null
  readonly tenants: readonly string[]
}

export function activityView({ events, hasMore, page, tenant, tenants }: ActivityView): Html {
  const href = (of: string | null, to = 1) => `/admin/activity?page=${to}${of === null ? '' : `&tenant=${of}`}`
  const tab = (of: string | null, label: string) =>
    html`<a href="${href(of)}"${of === tenant && html` aria-current="page"`}>${label}</a>`
  return html`<p class="path">Administration</p><h1>Activity</h1>
<nav class="tabs" aria-label="Site">${tab(null, 'Everything')}${tenants.map((each) => tab(each, each))}</nav>
<section class="card"><h2>Page ${page}</h2>${activityList(events, { people: true })}</section>
<nav class="pages" aria-label="Pages">${page > 1 && html`<a class="button second" href="${href(tenant, page - 1)}">Newer</a>`}
${hasMore && html`<a class="button second" href="${href(tenant, page + 1)}">Older</a>`}</nav>`
}
