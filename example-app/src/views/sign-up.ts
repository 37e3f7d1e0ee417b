import { type Html, html, trusted } from './html.js'
import { problemBox, refused } from './layout.js'

export interface SignUpView {
  /** The package's button: finished HTML, empty if Bitbucket is not offered. */
  readonly button: string
  readonly problem?: string
  /** The field that the problem is about. */
  readonly field?: unknown
  readonly name?: unknown
  readonly email?: unknown
}

export function signUpView({ button, problem, field, name, email }: SignUpView): Html {
  const about = (each: string) => refused(field === each ? problem : undefined)
  return html`<div class="narrow card"><h1>Create an account</h1>
${problemBox(problem)}
${button !== '' && html`${trusted(button)}<p class="or"><span>or</span></p>`}
<form method="post" action="/sign-up" class="fields">
<label for="name">Name</label>
<input id="name" name="name" autocomplete="name" required maxlength="80" value="${String(name ?? '')}"${about('name')}>
<label for="email">Email address</label>
<input id="email" name="email" type="email" autocomplete="username" required value="${String(email ?? '')}"${about('email')}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="new-password" required minlength="10"${about('password') || html` aria-describedby="rule"`}>
<small id="rule">At least 10 characters. Long beats complicated.</small>
<button>Create account</button>
</form>
<p class="aside"><a href="/sign-in">Sign in instead</a></p></div>`
}

export function codeView({
  purpose,
  email,
  problem,
  hasMailbox,
}: {
  purpose: string
  email: string
  problem: string | undefined
  hasMailbox: boolean
}): Html {
  return html`<div class="narrow card"><h1>Enter the code</h1>
${problemBox(problem)}
<p>We emailed a code to <strong>${email}</strong>. It works for 10 minutes.</p>
${hasMailbox && html`<p class="demo-hint">In development, it is in the <a href="/dev/mailbox" target="_blank">mailbox</a>.</p>`}
<form method="post" action="/code" class="fields">
<label for="code">Code</label>
<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" required${refused(problem) || html` autofocus`}>
${
  purpose === 'reset' &&
  html`<label for="password">New password</label>
<input id="password" name="password" type="password" autocomplete="new-password" required minlength="10">`
}
<button>Continue</button>
</form>
<p class="aside"><a href="${purpose === 'reset' ? '/reset' : purpose === 'verify' ? '/account' : '/sign-up'}">Start again</a></p></div>`
}

/** In another browser, or after the code was used. */
export function noCodeView(): Html {
  return html`<div class="narrow card"><h1>No code to enter</h1>
${problemBox('This browser is not waiting for a code: it was used already, or another browser asked for it. Enter it there, or start again.')}
<p class="aside"><a href="/sign-in">Sign in</a> · <a href="/sign-up">Create an account</a> · <a href="/reset">Reset your password</a></p></div>`
}

export function resetView({ problem, email }: { problem?: string; email?: unknown } = {}): Html {
  return html`<div class="narrow card"><h1>Reset your password</h1>
${problemBox(problem)}
<form method="post" action="/reset" class="fields">
<label for="email">Email address</label>
<input id="email" name="email" type="email" autocomplete="username" required value="${String(email ?? '')}"${refused(problem)}>
<button>Email me a code</button>
</form>
<p class="aside"><a href="/sign-in">Back to sign-in</a></p></div>`
}
