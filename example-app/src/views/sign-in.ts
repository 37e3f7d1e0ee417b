import { type Html, html, trusted } from './html.js'

interface SignInView {
  /** The package's button: a finished piece of HTML, empty where Bitbucket is not offered. */
  readonly button: string
  readonly pending: { readonly label: string; readonly next: string } | null
  readonly returnTo: string
  readonly problem: string | undefined
  readonly email: string
  readonly demo: boolean
}

export function signInView({ button, pending, returnTo, problem, email, demo }: SignInView): Html {
  return html`<div class="narrow card">
<h1>Sign in</h1>
${pending && html`<p class="notice" role="status">A sign-in with Bitbucket as <strong>${pending.label}</strong> is waiting. <a href="${pending.next}">Go on with it</a></p>`}
${button !== '' && html`${trusted(button)}<p class="or"><span>or</span></p>`}
${problem !== undefined && html`<p class="problem" role="alert">${problem}</p>`}
<form method="post" action="/sign-in" class="fields">
<input type="hidden" name="returnTo" value="${returnTo}">
<label for="email">E-mail address</label>
<input id="email" name="email" type="email" autocomplete="username" required value="${email}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Sign in</button>
</form>
<p class="aside"><a href="/reset">Forgot your password?</a> <a href="/sign-up">Create an account</a></p>
</div>
${demo && demoAccounts()}`
}

function demoAccounts(): Html {
  return html`<aside class="narrow hint"><h2>In this demo</h2>
<p>The Bitbucket button leads to a fake Bitbucket with a choice of people. Try the <a href="/scenarios">scenarios</a>.</p>
<p>The administrator signs in as <code>admin@corkboard.example</code> with the password <code>corkboard-demo</code>.</p></aside>`
}
