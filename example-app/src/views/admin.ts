import type { ConnectionProblem, DoctorFinding, DoctorReport } from 'passport-bitbucket-signin'
import type { ActivityEntry } from '../accounts/activity.js'
import { APPLICATIONS } from '../bitbucket/places.js'
import { type CompleteSettings, callbackURL, type Level, type Status } from '../bitbucket/settings.js'
import type { Form } from '../bitbucket/settings-form.js'
import { activityList } from './activity.js'
import { statusBadge } from './connections.js'
import { type Html, html } from './html.js'

export interface AdminView {
  readonly level: string
  readonly status: Status
  readonly stored: Level
  /** What an inherited value means here. */
  readonly above: CompleteSettings
  readonly form: Form
  readonly problems: readonly ConnectionProblem[]
  /** What was entered before and is not saved, `null` = the form shows what is stored. */
  readonly draft: { readonly hasSecret: boolean } | null
  readonly domains: readonly string[]
  /** The callback URL that is in use. */
  readonly callbackURL: string
  readonly events: readonly ActivityEntry[]
  readonly tenants: readonly string[]
  readonly report?: DoctorReport
}

export function adminView(view: AdminView): Html {
  const { level, status, stored, tenants, report } = view
  const name = (each: string) => (each === 'default' ? 'All sites' : each)
  const hidden = html`<input type="hidden" name="level" value="${level}">`
  return html`<p class="path">Administration › <a href="/admin/connections">Social connections</a></p>
<h1>Bitbucket ${statusBadge(status)}</h1>
<nav class="tabs" aria-label="Site">${['default', ...tenants].map(
    (each) =>
      html`<a href="/admin/bitbucket?level=${each}"${each === level && html` aria-current="page"`}>${name(each)}</a>`,
  )}</nav>
${summary('stored', 'The stored settings are invalid, so Bitbucket is off here', stored.problems)}
${summary('problems', 'Not saved', view.problems)}
${view.draft && unsaved(view)}
${report && verdict(report, status)}
<form method="post" action="/admin/bitbucket">${hidden}
${level !== 'default' && overrideSwitch(view)}
${callback(view)}
${stepsAtBitbucket(view)}
${client(view)}
${whoMaySignIn(view)}
<section class="card save"><button>Save</button><button name="then" value="test" class="second">Save and test</button>
${view.draft && html`<button formaction="/admin/bitbucket/discard" class="quiet">Discard changes</button>`}</section>
</form>
<form method="post" action="/admin/bitbucket/test" class="card">${hidden}<h2>Test</h2>
<p>Checks the saved connection: this app, and the OAuth client at Bitbucket. No user is signed in.</p><button class="second">Test</button></form>
<form method="post" action="/admin/bitbucket/reset" class="card">${hidden}<h2>Reset to inherited</h2>
<p>Deletes the settings saved for ${name(level)}${stored.hasSecret && ', including the client secret'}. ${level === 'default' ? 'Those of the environment apply.' : 'Those of All sites apply.'}</p>
<button class="second">Reset to inherited</button></form>
<section class="card"><h2>Activity</h2>${activityList(view.events, { people: true })}
<p><a href="/admin/activity${level !== 'default' && `?tenant=${level}`}">All activity</a></p></section>`
}

const LABELS: Readonly<Record<string, string>> = {
  clientID: 'Client ID',
  clientSecret: 'Client secret',
  callbackDomain: 'Callback URL',
  applications: 'Applications',
  scope: 'Scopes',
  workspaces: 'Workspaces',
  override: 'Override',
}

function summary(id: string, title: string, problems: readonly ConnectionProblem[]): Html | false {
  const entry = ({ field, message }: ConnectionProblem) =>
    html`<li>${LABELS[field] ? html`<a href="#${field}">${LABELS[field]}</a>` : field}: ${message}</li>`
  return (
    problems.length > 0 &&
    html`<div class="problem" id="${id}" role="alert"><strong>${title}.</strong><ul>${problems.map(entry)}</ul></div>`
  )
}

/** Ties a field to what is wrong with it. */
const marked = ({ problems }: AdminView, field: string) =>
  problems.some((each) => each.field === field) &&
  html`${field.startsWith('client') && html` aria-invalid="true"`} aria-describedby="problems"`

function unsaved({ draft }: AdminView): Html {
  return html`<p class="notice" role="status">You have unsaved changes. Choose Save to keep them.
${draft?.hasSecret && 'The client secret you entered is kept, too.'}</p>`
}

function overrideSwitch({ level, form }: AdminView): Html {
  const isOn = form.override !== 'no'
  return html`<fieldset class="card override" id="override"><legend>Settings for ${level}
<span class="badge ${isOn ? 'warn' : 'plain'}">${isOn ? 'Overridden' : 'Inherited'}</span></legend>
${radio('override', 'no', 'Inherit everything from All sites', !isOn)}
${radio('override', 'yes', 'Override: what is set below applies to this site only', isOn)}</fieldset>`
}

function callback(view: AdminView): Html {
  const { level, form, above, domains } = view
  const chosen = form.callbackDomain || domains[0]
  const isOwn = level === 'default' || form.clientID !== ''
  return html`<section class="card"><h2>1. Callback URL</h2>
<p>Register this URL at Bitbucket, exactly as it stands here. Bitbucket allows one for each OAuth client.</p>
${copyField('callback', 'Callback URL in use', view.callbackURL)}
${!isOwn && html`<p><small>${level} uses the OAuth client of All sites, and its callback URL. The choice below counts once ${level} has its own client.</small></p>`}
<fieldset id="callbackDomain"${marked(view, 'callbackDomain')}><legend>Use a custom domain</legend>
${radio('callbackDomain', '', `No (${level === 'default' ? above.callbackDomain : domains[0]})`, form.callbackDomain === '')}
${domains
  .filter((domain) => domain !== (level === 'default' ? above.callbackDomain : domains[0]))
  .map(
    (domain, index) => html`${radio('callbackDomain', domain, `${new URL(domain).host}`, domain === chosen)}
${copyField(`callback${index}`, `Callback URL on ${new URL(domain).host}`, callbackURL(domain))}`,
  )}
</fieldset></section>`
}

const copyField = (id: string, label: string, value: string) =>
  html`<label for="${id}">${label}</label>
<div class="copy"><input id="${id}" readonly value="${value}"><button type="button" class="second" data-copy="${id}" aria-label="Copy: ${label}" hidden>Copy</button></div>`

function stepsAtBitbucket({ form, above }: AdminView): Html {
  const extra = form.scopeChoice === 'own' ? form.scope : above.scope
  return html`<section class="card"><h2>2. Create the OAuth client at Bitbucket</h2>
<ol><li>Open <a href="https://bitbucket.org/account/workspaces/" target="_blank" rel="noreferrer">your workspaces at Bitbucket</a>, choose one that you administer,
then <strong>Settings</strong> › <strong>OAuth clients</strong>. The address is <code>https://bitbucket.org/<em>workspace</em>/workspace/settings/oauth-clients</code>.</li>
<li>Choose <strong>Create OAuth client</strong> and enter a name. People see it when they are asked for consent.</li>
<li>Under <strong>Authorization</strong>, tick <strong>Authorization code</strong> and paste the callback URL.</li>
<li>Under <strong>Scopes</strong>, tick <strong>Account: Read</strong> and <strong>Account: Email</strong>${extra.length > 0 && html`, and <strong>${extra.join(', ')}</strong>`}.</li>
<li>Save, then copy the client ID and the client secret to the fields below.</li></ol>
<p><a href="https://support.atlassian.com/bitbucket-cloud/docs/use-oauth-on-bitbucket-cloud/" target="_blank" rel="noreferrer">Bitbucket’s own guide</a></p></section>`
}

function client(view: AdminView): Html {
  const { form, stored, above, draft } = view
  const secretHint = draft?.hasSecret
    ? 'Entered, not saved yet'
    : stored.hasSecret
      ? 'Stored. Type to replace it.'
      : 'Inherited'
  return html`<section class="card fields"><h2>3. Client ID and secret</h2>
<label for="clientID">Client ID</label>
<input id="clientID" name="clientID" value="${form.clientID}" placeholder="Inherit: ${above.clientID}" autocomplete="off" spellcheck="false"${marked(view, 'clientID')}>
<label for="clientSecret">Client secret</label>
<input id="clientSecret" name="clientSecret" type="password" autocomplete="off" placeholder="${secretHint}"${marked(view, 'clientSecret') || html` aria-describedby="secretHint"`}>
<small id="secretHint">Stored encrypted; it can be replaced but not read. A new client ID needs its own secret.</small></section>`
}

function whoMaySignIn(view: AdminView): Html {
  const { form, above } = view
  return html`<section class="card fields"><h2>4. Who can sign in, and where</h2>
${choice('enabled', 'Status', form.enabled, above.enabled, ['Enabled', 'Disabled'])}
${choice('visible', 'On the sign-in page', form.visible, above.visible, ['Shown', 'Works, but is not shown'])}
${choice('signUp', 'People without an account', form.signUp, above.signUp, ['Get one', 'Are refused'])}
${choice('trustedProvider', 'Trusted provider', form.trustedProvider, above.trustedProvider, ['On', 'Off (recommended)'])}
<small>We recommend leaving this off. When it is on, anyone who takes over an email address at Bitbucket gets into the account with that address here.
When it is off, people confirm their address with a code that we email.</small>
${listChoice(view, 'applications', 'Applications', above.applications.join(', '), applicationBoxes(form))}
${listChoice(view, 'scope', 'Scopes', above.scope.join(', ') || 'no extra scopes', scopeInput(form))}
${listChoice(view, 'workspaces', 'Only members of these workspaces', above.workspaces.join(', ') || 'everybody', listInput(form, 'workspaces', 'acme {uuid}'))}
<small>The name in the workspace’s address, or its {uuid}. A name can change, a uuid cannot. “These” and an empty field admits everybody.</small></section>`
}

function choice(name: string, label: string, chosen: string, above: boolean, [on, off]: [string, string]): Html {
  const option = (value: string, text: string) =>
    html`<option value="${value}"${value === chosen && html` selected`}>${text}</option>`
  return html`<label for="${name}">${label}${chosen !== '' && html` <span class="badge plain">Set here</span>`}</label><select id="${name}" name="${name}">
${option('', `Inherit: ${above ? on : off}`)}${option('true', on)}${option('false', off)}</select>`
}

const radio = (name: string, value: string, text: string, checked: boolean) =>
  html`<label class="box"><input type="radio" name="${name}" value="${value}"${checked && html` checked`}> ${text}</label>`

function listChoice(
  view: AdminView,
  name: 'applications' | 'scope' | 'workspaces',
  label: string,
  inherited: string,
  input: Html,
): Html {
  const isOwn = view.form[`${name}Choice`] === 'own'
  return html`<fieldset id="${name}"${marked(view, name)}><legend>${label}${isOwn && html` <span class="badge plain">Set here</span>`}</legend>
${radio(`${name}Choice`, '', `Inherit: ${inherited}`, !isOwn)}${radio(`${name}Choice`, 'own', 'These:', isOwn)}
${input}</fieldset>`
}

const applicationBoxes = ({ applications }: Form) =>
  html`<div class="boxes">${APPLICATIONS.map(
    (each) =>
      html`<label class="box"><input type="checkbox" name="applications" value="${each}"${applications.includes(each) && html` checked`}> ${each}</label>`,
  )}</div>`

const scopeInput = (form: Form) =>
  html`<div class="boxes">${['account', 'email'].map(
    (each) => html`<label class="box"><input type="checkbox" checked disabled> ${each} (always)</label>`,
  )}</div>${listInput(form, 'scope', 'repository pullrequest')}`

const listInput = (form: Form, name: 'scope' | 'workspaces', example: string) =>
  html`<input name="${name}" aria-label="${name === 'scope' ? 'Extra scopes' : 'Workspaces'}" value="${form[name].join(' ')}" placeholder="${example}" autocomplete="off" spellcheck="false">`

/** The doctor's report: what it means first, then what to do, and what is in order folded away. */
function verdict({ findings }: DoctorReport, status: Status): Html {
  const needAction = findings.filter(({ fix }) => fix !== null)
  const passed = findings.filter(({ fix }) => fix === null)
  const problems = findings.filter((each) => each.verdict === 'problem').length
  const isOff = !status.startsWith('Enabled')
  const title =
    problems > 0
      ? 'Sign-in with Bitbucket does not work'
      : isOff
        ? 'No user can sign in with this connection'
        : 'Sign-in with Bitbucket works'
  return html`<section class="card" role="status"><h2>${title}</h2>
${isOff && html`<p class="problem">Its status is “${status}”. ${problems === 0 && 'The checks found no problem otherwise.'}</p>`}
<p>${problems === 0 ? 'No problem found.' : problems === 1 ? 'Fix this problem:' : `Fix these ${problems} problems:`}</p>
${findingList(needAction)}
<details><summary>${passed.filter((each) => each.verdict === 'ok').length} checks passed</summary>${findingList(passed)}</details></section>`
}

const VERDICTS = { ok: 'Passed', warning: 'Warning', problem: 'Problem', unknown: 'Not visible from here' }

const findingList = (findings: readonly DoctorFinding[]) =>
  findings.length > 0 &&
  html`<ul class="rows">${findings.map(
    ({ verdict, message, fix }) =>
      html`<li><div>${message}${fix !== null && html`<br><small>${fix}</small>`}</div>
<span class="badge ${verdict === 'ok' ? 'good' : verdict === 'unknown' ? 'plain' : 'warn'}">${VERDICTS[verdict]}</span></li>`,
  )}</ul>`
