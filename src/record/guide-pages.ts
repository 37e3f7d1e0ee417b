import escapeHtml = require('escape-html')

import { createHash } from 'node:crypto'
import type { Answer } from './questions'
import { VISITS, type Visit } from './visits'

const STYLE = `
:root { color-scheme: light dark }
body { margin: 0 auto; max-width: 40rem; padding: 1.5rem; font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
button, a.go { display: inline-block; min-height: 2.75rem; padding: .5rem 1rem; margin: .25rem .5rem .25rem 0; font: inherit;
  box-sizing: border-box; border: 1px solid; border-radius: .35rem; background: none; color: inherit; cursor: pointer;
  text-decoration: none }
a.go { font-weight: 600 }
form { display: inline }
dt { font-weight: 600; margin-top: .75rem }
dd { margin: 0 }
`

/** Headers of every page of the guide. Forms post to the guide only; only links lead to Bitbucket. */
export const GUIDE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

const DENIED = `Bitbucket came back with a denial. It remembers the earlier one: open Bitbucket's settings of your account, App
authorizations, remove this client there, and start this step again. If that does not help, skip it.`

/** The next step: where to go, and what to do there. */
export function visitPage(visit: Visit, position: number, attempts: number, key: string): string {
  const isDeniedAgain = visit.id === 'consent' && attempts > 0
  return page(
    visit.title,
    `<p>Step ${position} of ${VISITS.length}</p>
<h1>${escapeHtml(visit.title)}</h1>
<p>${escapeHtml(isDeniedAgain ? DENIED : visit.instruction)}</p>
<p><a class="go" href="/start">Go to Bitbucket</a></p>
<p>${button('error', 'Bitbucket showed an error page', key)}${button('skipped', 'Skip this step', key)}</p>`,
  )
}

/** After the visits: time must pass, unless the operator does not want to wait. */
export function waitPage(readyAt: Date, isReady: boolean, key: string): string {
  const time = readyAt.toISOString().slice(11, 16)
  return page(
    'Wait',
    `<h1>Wait, if you can</h1>
<p>Whether a used refresh token and an old code still work can be seen at ${time} UTC. The page need not stay open; the
command must keep running.</p>
<p>${isReady ? button('check', 'Check now and finish', key) : '<a class="go" href="/">Check again</a>'}${button('finish', 'Finish without it', key)}</p>`,
  )
}

/** The last page: the results of the record. */
export function endPage(answers: readonly Answer[], file: string): string {
  const list = answers.map(
    ({ number, question, answer, settled }) =>
      `<dt>${number}. ${escapeHtml(question)}</dt><dd>${settled ? '' : '(open) '}${escapeHtml(answer)}</dd>`,
  )
  return page(
    'Recorded',
    `<h1>Recorded</h1>
<p>The record is in <code>${escapeHtml(file)}</code>. This page can be closed.</p>
<dl>${list.join('\n')}</dl>`,
  )
}

/** A request that belongs to no current step. */
export function strayPage(): string {
  return page(
    'Not this step',
    '<h1>This does not belong to a current step</h1><p><a class="go" href="/">Back to the steps</a></p>',
  )
}

function button(action: string, label: string, key: string): string {
  return `<form method="post" action="/${action}"><input type="hidden" name="key" value="${key}"><button>${label}</button></form>`
}

function page(title: string, content: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} – Recorder</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${content}
</main>
</body>
</html>
`
}
