import { Browser } from './client.mjs'

/** People who sign in by turns: each is new once and known ever after. */
const PEOPLE = 50
let codes = 0

/**
 * Starts a sign-in the way this contender's users do.
 *
 * @param {import('../contenders/index.mjs').Contender} contender
 * @param {Browser} browser
 * @returns {Promise<string>} the authorization URL
 */
export async function start(contender, browser) {
  const url = await contender.start(browser)
  if (!url?.includes('/site/oauth2/authorize?')) throw new Error(`${contender.id}: no redirect to the provider: ${url}`)
  return url
}

/** Comes back from the provider with a code of this person, default the next one, and must end signed in. */
export async function callback(contender, browser, authorizationURL, person = (codes + 1) % PEOPLE) {
  const state = /[?&]state=([^&]*)/.exec(authorizationURL)?.[1]
  codes++
  const code = `${person}-${codes.toString(36)}`
  const answer = await browser.request('GET', `${contender.callbackPath}?code=${code}&state=${state}`)
  if (
    answer.status < 300 ||
    answer.status > 399 ||
    answer.location === undefined ||
    !contender.signedIn.test(answer.location)
  ) {
    throw new Error(`${contender.id}: the callback did not sign in: ${answer.status} ${answer.location} ${answer.body}`)
  }
}

/** A whole sign-in in a new browser. */
export async function signIn(contender, connection, host) {
  const browser = new Browser(connection, host)
  await callback(contender, browser, await start(contender, browser))
  return browser
}

/** Signs in and asks the app who that was: no contender is measured that does not really sign people in. */
export async function proveSignIn(contender, connection, host) {
  const browser = await signIn(contender, connection, host)
  const { status, body } = await browser.request('GET', '/me')
  if (status !== 200 || !/person\d+@example\.com/.test(body)) {
    throw new Error(`${contender.id}: signed in, but /me answers ${status} ${body}`)
  }
  const stranger = await new Browser(connection, host).request('GET', '/me')
  if (stranger.status !== 401) throw new Error(`${contender.id}: /me answers a stranger ${stranger.status}`)
}
