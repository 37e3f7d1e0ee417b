import type { Connection } from 'passport-bitbucket-signin'

export interface TestResult {
  readonly result: 'good' | 'bad' | 'unsure'
  readonly what: string
  readonly advice: string
}

const TOKEN_URL = 'https://bitbucket.org/site/oauth2/access_token'

/**
 * Asks Bitbucket whether client ID and secret belong together, by redeeming a code that cannot exist: with the right
 * pair the *code* is refused, with a wrong one the client is.
 */
export async function testConnection(connection: Connection): Promise<TestResult[]> {
  const { clientID, clientSecret, callbackURL, endpoints } = connection
  try {
    const answer = await fetch(endpoints?.tokenURL ?? TOKEN_URL, {
      method: 'POST',
      headers: {
        Authorization: `Basic ${Buffer.from(`${clientID}:${clientSecret}`).toString('base64')}`,
        'Content-Type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        code: 'connection-test',
        redirect_uri: callbackURL,
      }),
      redirect: 'error',
      signal: AbortSignal.timeout(8000),
    })
    const { error } = (await answer.json().catch(() => ({}))) as { error?: string }
    const reached: TestResult = { result: 'good', what: 'Bitbucket answers', advice: '' }
    return [reached, judge(error), callback(callbackURL)]
  } catch {
    const advice = 'Check that this server may open connections to bitbucket.org and api.bitbucket.org on port 443.'
    return [{ result: 'bad', what: 'Bitbucket could not be reached', advice }]
  }
}

function judge(error: string | undefined): TestResult {
  if (error === 'invalid_grant') return { result: 'good', what: 'Client ID and secret belong together', advice: '' }
  if (error === 'unauthorized_client' || error === 'invalid_client') {
    const advice = 'Copy key and secret again: Bitbucket › your workspace › Settings › OAuth clients › the client.'
    return { result: 'bad', what: 'Client ID or secret is wrong', advice }
  }
  return { result: 'unsure', what: 'Bitbucket gave an answer that says neither', advice: 'Try a sign-in.' }
}

function callback(callbackURL: string): TestResult {
  const what = 'The callback URL can only be compared by a sign-in'
  return { result: 'unsure', what, advice: `The client at Bitbucket must name exactly ${callbackURL}` }
}
