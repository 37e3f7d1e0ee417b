import type { Scenario } from '../demo/scenarios.js'
import { type Html, html } from './html.js'

export function scenariosView(scenarios: readonly Scenario[]): Html {
  return html`<h1>Scenarios</h1>
<p class="lead">Each button sets the stage – settings, accounts, the fake Bitbucket – signs you out and starts a sign-in. The settings stay as the
scenario left them; see Administration.</p>
<ol class="scenarios">${scenarios.map(
    ({
      id,
      title,
      choose,
      expect,
    }) => html`<li class="card"><h2>${title}</h2><p>${choose}</p><p class="expect">${expect}</p>
<form method="post" action="/scenarios/${id}"><button aria-label="Try: ${title}">Try it</button></form></li>`,
  )}</ol>`
}
