import { type FakeBitbucket, type FakeFault, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'
import { atDeadline } from '../support/lab'
import { consented } from '../support/steps'

const ACME = { slug: 'acme', uuid: '{470c176d-3574-44ea-bb41-89e8638bcca4}', permission: 'member' } as const
const ENDPOINTS = ['token', 'user', 'emails', 'workspace', 'refresh'] as const
type Endpoint = (typeof ENDPOINTS)[number]

const UPSTREAM = /endpoints|status\.atlassian\.com|proxy/
const WAIT = /Wait a few minutes/
const SCOPES = /workspace settings, OAuth clients\) and tick Account: (?:Read|Email)/
const CLIENT = /Check the client ID \(Key\) and secret/

/** Each fault with the code and the advice that it comes to. */
const FAULTS: Readonly<Record<string, readonly [FakeFault, string, RegExp]>> = {
  '401': [{ problem: 'invalid-token' }, 'upstream_failed', UPSTREAM],
  '401 expired': [{ problem: 'expired-token' }, 'upstream_failed', UPSTREAM],
  '405': [{ status: 405 }, 'upstream_failed', UPSTREAM],
  '410': [{ problem: 'removed' }, 'upstream_failed', /update this package/],
  '429 in plain text': [{ problem: 'rate-limited' }, 'rate_limited', WAIT],
  '429 in JSON': [{ problem: 'rate-limited-json' }, 'rate_limited', WAIT],
  '429 without a body': [{ problem: 'rate-limited-empty' }, 'rate_limited', WAIT],
  '500 with a page': [{ status: 500, html: '<h1>Oops</h1>' }, 'upstream_failed', UPSTREAM],
  '503': [{ status: 503 }, 'upstream_failed', UPSTREAM],
  'a redirect': [{ redirect: 'http://127.0.0.1:1/' }, 'upstream_failed', UPSTREAM],
  '204': [{ status: 204 }, 'upstream_failed', UPSTREAM],
  'an empty 200': [{ text: '' }, 'upstream_failed', UPSTREAM],
  'a list': [{ json: [] }, 'upstream_failed', UPSTREAM],
  'a page': [{ html: '<html></html>' }, 'upstream_failed', UPSTREAM],
  'an error with status 200': [{ json: { type: 'error', error: {} } }, 'upstream_failed', UPSTREAM],
  '2 MB': [{ hugeBytes: 2 * 1024 * 1024 }, 'upstream_failed', UPSTREAM],
  'a reset': [{ delivery: 'reset' }, 'upstream_failed', UPSTREAM],
  'a reset in the body': [{ delivery: 'reset-in-body' }, 'upstream_failed', UPSTREAM],
  'half an answer': [{ delivery: 'truncate' }, 'upstream_failed', UPSTREAM],
  'no answer': [{ delivery: 'stall' }, 'upstream_timeout', /raise `timeoutMs`/],
  'no end of the answer': [{ delivery: 'stall-in-body' }, 'upstream_timeout', /raise `timeoutMs`/],
}

/** Faults that one endpoint has only. */
const OWN: Readonly<Partial<Record<Endpoint, Readonly<Record<string, readonly [FakeFault, string, RegExp]>>>>> = {
  token: {
    'a wrong client': [{ status: 400, json: { error: 'unauthorized_client' } }, 'client_rejected', CLIENT],
    'no callback': [
      { status: 400, json: { error: 'invalid_request' } },
      'client_rejected',
      /callback URL is registered/,
    ],
    'a used code': [{ status: 400, json: { error: 'invalid_grant' } }, 'upstream_failed', /sign in again/],
    'a scope too many': [{ status: 400, json: { error: 'invalid_scope' } }, 'scope_missing', SCOPES],
    'no bearer token': [{ json: { access_token: 'x', token_type: 'mac' } }, 'upstream_failed', UPSTREAM],
  },
  user: {
    'a missing scope': [{ problem: 'missing-scope' }, 'scope_missing', SCOPES],
    'a team': [{ edit: (body) => ({ ...body, type: 'team' }) }, 'profile_invalid', UPSTREAM],
    '404': [{ problem: 'not-found' }, 'upstream_failed', UPSTREAM],
  },
  emails: {
    'a missing scope': [{ problem: 'missing-scope' }, 'scope_missing', SCOPES],
    '404': [{ problem: 'not-found' }, 'upstream_failed', UPSTREAM],
    'values that are no list': [{ json: { values: {} } }, 'upstream_failed', UPSTREAM],
    'a next page elsewhere': [
      { edit: (body) => ({ ...body, next: 'https://evil.example/' }) },
      'upstream_failed',
      UPSTREAM,
    ],
    'pages without end': [
      { edit: (body) => ({ ...body, next: `${fake.endpoints.apiURL}/user/emails` }) },
      'upstream_failed',
      UPSTREAM,
    ],
  },
  workspace: {
    'a missing scope': [{ problem: 'missing-scope' }, 'scope_missing', SCOPES],
    'another workspace': [{ edit: (body) => ({ ...body, workspace: { slug: 'b' } }) }, 'upstream_failed', UPSTREAM],
  },
  refresh: {
    'a dead token or a wrong client': [
      { status: 400, json: { error: 'unauthorized_client' } },
      'refresh_refused',
      /Keep the token and wait 15 minutes/,
    ],
    'a dead token': [
      { status: 400, json: { error: 'invalid_grant' } },
      'reauthorization_required',
      /sign in with Bitbucket again/,
    ],
    'a lost form': [
      { status: 400, json: { error: 'invalid_grant', error_description: 'Unsupported grant type: None' } },
      'upstream_failed',
      /answered with status 400\. Check `endpoints` and every proxy/,
    ],
    'a wrong client': [{ status: 401, json: { error: 'invalid_client' } }, 'client_rejected', CLIENT],
  },
}

const NOT_A_USER = ['an empty 200', 'a list', 'a page', 'an error with status 200']
/** A complete answer of `/user` that does not describe a user. */
const codeAt = (endpoint: Endpoint, name: string, code: string) =>
  endpoint === 'user' && NOT_A_USER.includes(name) ? 'profile_invalid' : code

const CASES = ENDPOINTS.flatMap((endpoint) =>
  Object.entries({ ...FAULTS, ...OWN[endpoint] }).map(
    ([name, [fault, code, advice]]) => [endpoint, name, fault, codeAt(endpoint, name, code), advice] as const,
  ),
)

let fake: FakeBitbucket
let app: TestApp
beforeAll(async () => {
  fake = await startFakeBitbucket()
  fake.updatePerson('alice', { workspaces: [ACME] })
  app = await startTestApp({ fake, connection: { workspaces: ['acme'] } })
})
afterEach(() => {
  fake.clearScripts()
  fake.clearRequests()
  app.errors.length = 0
  app.accounts.users.clear()
})
afterAll(async () => {
  await app?.close()
  await fake?.close()
})

describe.each(ENDPOINTS)('case 19: a fault of %s names the request and the fix', (here) => {
  test.each(CASES.filter(([endpoint]) => endpoint === here))('%s: %s', async (endpoint, _name, fault, code, advice) => {
    let error: { code: string; message: string } | undefined
    const hangs = code === 'upstream_timeout'
    if (endpoint === 'refresh') {
      fake.script('token', fault)
      const refresh = () => app.bitbucket.refreshTokens({ refreshToken: 'R3fresh' }).catch((thrown) => thrown)
      error = await (hangs ? atDeadline(refresh, () => fake.count('token') > 0) : refresh())
    } else {
      fake.script(endpoint, fault)
      const browser = new TestBrowser()
      const callback = await consented(app, browser, 'alice')
      const call = () => browser.get(callback)
      const { status, location } = await (hangs ? atDeadline(call, () => fake.count(endpoint) > 0) : call())
      // Addresses that may not be read are asked for.
      if (endpoint === 'emails' && code === 'scope_missing') expect(location).toBe('/auth/bitbucket/email')
      else expect(status).toBeGreaterThanOrEqual(500)
      expect(await app.me(browser)).toBeNull()
      expect(app.errors).toHaveLength(1)
      error = app.errors[0]
      expect(app.events.at(-1)).toMatchObject({ code })
    }
    expect(error).toMatchObject({ code })
    expect(error?.message).toMatch(new RegExp(`^${endpoint} request: `))
    expect(error?.message).toMatch(advice)
    expect(error?.message).not.toMatch(/R3fresh|Oops|evil/)
  })
})
