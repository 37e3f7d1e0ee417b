import type { Scenario } from '../demo/scenarios.js'
import { type Html, html } from './html.js'

interface Stage {
  /** Ids of the scenarios that were tried in this browser. */
  readonly tried: readonly string[]
  readonly hasMailbox: boolean
  /** Whether the fake Bitbucket is down. */
  readonly down: boolean
}

export function scenariosView(scenarios: readonly Scenario[], { tried, hasMailbox, down }: Stage): Html {
  const next = scenarios.find(({ id }) => !tried.includes(id))
  const done = scenarios.filter(({ id }) => tried.includes(id)).length
  return html`<h1>Scenarios</h1>
<p class="lead">Each button sets the stage (settings, accounts, limits, the fake Bitbucket), signs you out and starts a sign-in. The right person
is chosen at the fake Bitbucket already. Settings stay as the scenario left them; see Administration.</p>
<p>${done} of ${scenarios.length} tried.${hasMailbox && html` Codes arrive in the <a href="/dev/mailbox" target="_blank">mailbox</a>.`}</p>
${down && html`<form method="post" action="/company/demo" class="problem inline"><input type="hidden" name="returnTo" value="/scenarios">The fake Bitbucket is down. <button class="second" name="action" value="up">Bring it back</button></form>`}
<ol class="scenarios">${scenarios.map(
    (
      scenario,
    ) => html`<li class="card"><h2>${scenario.title}${tried.includes(scenario.id) && html` <span class="badge good">Tried</span>`}${scenario === next && html` <span class="badge plain">Next</span>`}</h2>
<p>${scenario.choose}</p><p class="expect">${scenario.expect}</p>
<form method="post" action="/scenarios/${scenario.id}"><button aria-label="Try: ${scenario.title}"${scenario !== next && html` class="second"`}>Try it</button></form></li>`,
  )}</ol>`
}
