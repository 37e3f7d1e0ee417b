import { type Html, html } from './html.js'
import { problemBox, refused } from './layout.js'

interface SignUpView {
  readonly problem?: string
  /** The field that the problem is about. */
  readonly field?: unknown
  readonly name?: unknown
  readonly email?: unknown
}

export function signUpView({ problem, field, name, email }: SignUpView): Html {
  const about = (each: string) => refused(field === each ? problem : undefined)
  return html`<div class="narrow card"><h1>Create an account</h1>
${problemBox(problem)}
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
}: {
  purpose: string
  email: string
  problem: string | undefined
}): Html {
  return html`<div class="narrow card"><h1>Enter the code</h1>
${problemBox(problem)}
<p>A mail is on its way to <strong>${email}</strong>. The code in it works for 10 minutes.</p>
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

export function resetView({ problem, email }: { problem?: string; email?: unknown } = {}): Html {
  return html`<div class="narrow card"><h1>Reset your password</h1>
${problemBox(problem)}
<form method="post" action="/reset" class="fields">
<label for="email">Email address</label>
<input id="email" name="email" type="email" autocomplete="username" required value="${String(email ?? '')}"${refused(problem)}>
<button>Mail me a code</button>
</form>
<p class="aside"><a href="/sign-in">Back to sign-in</a></p></div>`
}
