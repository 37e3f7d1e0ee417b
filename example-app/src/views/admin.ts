import type { Selectable } from 'kysely'
import type { CallbackRegistration, DoctorReport } from 'passport-bitbucket-signin'
import { APPLICATIONS } from '../bitbucket/places.js'
import type { CompleteSettings, Level } from '../bitbucket/settings.js'
import type { ActivityTable } from '../database/schema.js'
import { activityList } from './account.js'
import { type Html, html } from './html.js'
import { problemBox } from './layout.js'

interface AdminView {
  readonly level: string
  readonly own: Level
  /** What an inherited value means here. */
  readonly above: CompleteSettings
  readonly callbackURLs: readonly CallbackRegistration[]
  readonly events: readonly Selectable<ActivityTable>[]
  readonly tenants: readonly string[]
  readonly problem?: string
  readonly report?: DoctorReport
}

export function adminView(view: AdminView): Html {
  const { level, own, above, tenants, problem, report } = view
  const { settings } = own
  const enabled = settings.enabled ?? above.enabled
  return html`<p class="path">Administration › Social connections</p>
<h1>Bitbucket <span class="badge ${enabled ? 'good' : 'warn'}">${enabled ? 'Enabled' : 'Disabled'}</span></h1>
<nav class="tabs" aria-label="Level">${['default', ...tenants].map(
    (each) =>
      html`<a href="/admin/bitbucket?level=${each}"${each === level && html` aria-current="page"`}>${each === 'default' ? 'All sites' : each}</a>`,
  )}</nav>
${problemBox(problem)}
${report && findings(report)}
<form method="post" action="/admin/bitbucket" class="card fields">
<input type="hidden" name="level" value="${level}">
<h2>${level === 'default' ? 'For all sites' : `For the tenant ${level}`}</h2>
<p>${level === 'default' ? 'What is left to “inherit” comes from the environment.' : 'What is left to “inherit” comes from “All sites”.'}</p>
${choice('enabled', 'Status', settings.enabled, above.enabled, ['Enabled', 'Disabled'])}
${choice('visible', 'Shown on the sign-in page', settings.visible, above.visible, ['Shown', 'Works but is not shown'])}
${choice('signUp', 'People without an account', settings.signUp, above.signUp, ['Get one at their first sign-in', 'Are refused'])}
${choice('trustedProvider', 'Trusted provider', settings.trustedProvider, above.trustedProvider, ['On', 'Off'])}
<small>Leave it off unless you know why not: with it on, whoever gets hold of an address at Bitbucket gets into the
account here. Off, an address counts once its owner typed a mailed code.</small>
<label for="clientID">Client ID</label>
<input id="clientID" name="clientID" value="${settings.clientID ?? ''}" placeholder="Inherit: ${above.clientID}" autocomplete="off" spellcheck="false">
<label for="clientSecret">Client secret</label>
<input id="clientSecret" name="clientSecret" type="password" autocomplete="off" placeholder="${own.hasSecret ? 'Stored. Type to replace it.' : 'Inherited'}" aria-describedby="secretHint">
<small id="secretHint">Kept sealed; it can be replaced but not read. A client ID of your own needs its own secret.</small>
${listChoice('applications', 'Applications that offer it', settings.applications, above.applications, applicationBoxes(settings.applications ?? above.applications))}
${listChoice('scope', 'Extra scopes', settings.scope, above.scope, listInput('scope', settings.scope, 'repository pullrequest'))}
<small>Beyond <code>account</code> and <code>email</code>. Tick the same boxes on the client at Bitbucket.</small>
${listChoice('workspaces', 'Only members of these workspaces', settings.workspaces, above.workspaces, listInput('workspaces', settings.workspaces, 'acme {uuid}'))}
<small>Slugs or {uuid}s; a slug may be renamed, a uuid stays. Empty = everybody.</small>
<button>Save</button>
</form>
<form method="post" action="/admin/bitbucket/test" class="card"><h2>Test this connection</h2>
<input type="hidden" name="level" value="${level}">
<p>Looks at this app as it answers requests, and asks Bitbucket about the client and its callback URL.</p><button>Test</button></form>
${registration(view)}
<section class="card"><h2>Activity</h2>${activityList(view.events)}</section>`
}

function choice(
  name: string,
  label: string,
  own: boolean | undefined,
  above: boolean,
  [on, off]: [string, string],
): Html {
  const option = (value: string, text: string, selected: boolean) =>
    html`<option value="${value}"${selected && html` selected`}>${text}</option>`
  return html`<label for="${name}">${label}</label><select id="${name}" name="${name}">
${option('', `Inherit (${above ? on : off})`, own === undefined)}${option('true', on, own === true)}${option('false', off, own === false)}</select>`
}

function listChoice(
  name: string,
  label: string,
  own: readonly string[] | undefined,
  above: readonly string[],
  input: Html,
): Html {
  const radio = (value: string, text: string, checked: boolean) =>
    html`<label class="box"><input type="radio" name="${name}Choice" value="${value}"${checked && html` checked`}> ${text}</label>`
  return html`<fieldset><legend>${label}</legend>
${radio('', `Inherit (${above.join(', ') || 'none'})`, own === undefined)}${radio('own', 'These:', own !== undefined)}
${input}</fieldset>`
}

const applicationBoxes = (chosen: readonly string[]) =>
  html`<div class="boxes">${APPLICATIONS.map(
    (each) =>
      html`<label class="box"><input type="checkbox" name="applications" value="${each}"${chosen.includes(each) && html` checked`}> ${each}</label>`,
  )}</div>`

const listInput = (name: string, own: readonly string[] | undefined, example: string) =>
  html`<input name="${name}" aria-label="${name}" value="${own?.join(' ') ?? ''}" placeholder="${example}" autocomplete="off" spellcheck="false">`

function findings(report: DoctorReport): Html {
  return html`<section class="card" role="status"><h2>${report.ok ? 'No problem found' : 'Problems found'}</h2>
<ul class="rows">${report.findings.map(
    ({ check, verdict, message, fix }) =>
      html`<li><div><strong>${check}</strong> ${message}${fix !== null && html`<br><small>${fix}</small>`}</div>
<span class="badge ${verdict === 'ok' ? 'good' : 'warn'}">${verdict}</span></li>`,
  )}</ul></section>`
}

function registration({ callbackURLs }: AdminView): Html {
  return html`<section class="card"><h2>At Bitbucket</h2>
<ol><li>Open your workspace › Settings › OAuth clients › Add OAuth client.</li>
<li>Tick <strong>Authorization code</strong> and paste the callback URL. Bitbucket knows one for each client and compares it exactly.</li>
<li>Tick <strong>Account: Read</strong> and <strong>Email</strong>, and the boxes of the extra scopes.</li>
<li>Save, then copy client ID and client secret to this page.</li></ol>
${callbackURLs.map(
  (
    { tenant, clientID, callbackURL },
    index,
  ) => html`<label for="callback${index}">Callback URL: ${tenant ?? 'All sites'} <small>(client ${clientID})</small></label>
<div class="copy"><input id="callback${index}" readonly value="${callbackURL}"><button type="button" data-copy="callback${index}" hidden>Copy</button></div>`,
)}</section>`
}
