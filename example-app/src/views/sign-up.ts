import { type Html, html } from './html.js'

const problemLine = (problem: string | undefined) =>
  problem !== undefined && html`<p class="problem" role="alert">${problem}</p>`

export function signUpView({ problem, name, email }: { problem?: string; name?: unknown; email?: unknown }): Html {
  return html`<div class="narrow card"><h1>Create an account</h1>
${problemLine(problem)}
<form method="post" action="/sign-up" class="fields">
<label for="name">Name</label>
<input id="name" name="name" autocomplete="name" required maxlength="80" value="${String(name ?? '')}">
<label for="email">E-mail address</label>
<input id="email" name="email" type="email" autocomplete="username" required value="${String(email ?? '')}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="new-password" required minlength="10" aria-describedby="rule">
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
<p>A mail is on its way to <strong>${email}</strong>. The code in it works for 10 minutes.</p>
${problemLine(problem)}
<form method="post" action="/code" class="fields">
<label for="code">Code</label>
<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" required>
${
  purpose === 'reset' &&
  html`<label for="password">New password</label>
<input id="password" name="password" type="password" autocomplete="new-password" required minlength="10">`
}
<button>Continue</button>
</form>
<p class="aside"><a href="${purpose === 'reset' ? '/reset' : purpose === 'verify' ? '/account' : '/sign-up'}">Start again</a></p></div>`
}

export function resetView(problem?: string): Html {
  return html`<div class="narrow card"><h1>Reset your password</h1>
${problemLine(problem)}
<form method="post" action="/reset" class="fields">
<label for="email">E-mail address</label>
<input id="email" name="email" type="email" autocomplete="username" required>
<button>Mail me a code</button>
</form>
<p class="aside"><a href="/sign-in">Back to sign-in</a></p></div>`
}
