import { DEMO_ADMIN, DEMO_PASSWORD } from '../config.js'
import { type Html, html, trusted } from './html.js'
import { problemBox, refused } from './layout.js'

interface SignInView {
  /** The package's button: a finished piece of HTML, empty where Bitbucket is not offered. */
  readonly button: string
  readonly pending: { readonly label: string; readonly next: string } | null
  readonly returnTo: string
  readonly problem: string | undefined
  readonly email: string
  /** Confirms that it is still the same user. */
  readonly isSignedIn: boolean
  /** The hint for newcomers to the demo, `null` = not a demo. */
  readonly demo: { readonly admin: boolean } | null
}

export function signInView({ button, pending, returnTo, problem, email, demo, isSignedIn }: SignInView): Html {
  return html`<div class="narrow card">
<h1>${isSignedIn ? 'Confirm that it is you' : 'Sign in'}</h1>
${isSignedIn && html`<p>Your last sign-in was more than 10 minutes ago. What you entered is kept.</p>`}
${problemBox(problem)}
${pending && html`<p class="notice" role="status">A sign-in with Bitbucket as <strong>${pending.label}</strong> is pending. It continues when you sign in here, or <a href="${pending.next}">go back to it</a>.</p>`}
${button !== '' && html`${trusted(button)}<p class="or"><span>or</span></p>`}
<form method="post" action="/sign-in" class="fields">
<input type="hidden" name="returnTo" value="${returnTo}">
<label for="email">Email address</label>
<input id="email" name="email" type="email" autocomplete="username" required value="${email}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required${refused(problem)}>
<button>Sign in</button>
</form>
<p class="aside"><a href="/reset">Forgot your password?</a> <a href="/sign-up">Create an account</a></p>
</div>
${demo && demoHint(demo)}`
}

function demoHint({ admin }: { admin: boolean }): Html {
  return html`<aside class="narrow hint"><h2>In this demo</h2>
<p>The Bitbucket button leads to a fake Bitbucket with a choice of people. Try the <a href="/scenarios">scenarios</a>.</p>
${admin && html`<p>The administrator signs in as <code>${DEMO_ADMIN}</code> with the password <code>${DEMO_PASSWORD}</code>.</p>`}</aside>`
}
