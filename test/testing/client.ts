import http = require('node:http')
import https = require('node:https')

import { FAKE_CLIENT, type FakeBitbucket } from 'passport-bitbucket-signin/testing'

/** A callback that the default client accepts. */
export const CALLBACK = 'http://localhost:3000/auth/bitbucket/callback'

export interface Received {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
}

interface Sending {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
  readonly agent?: http.Agent
  readonly ca?: string
  readonly onData?: (chunk: Buffer) => void
}

/** One request over a connection of its own; redirects are not followed. Rejects when the answer is not complete. */
export function send(url: string, { body, agent, onData, ...options }: Sending = {}): Promise<Received> {
  const { request } = url.startsWith('https:') ? https : http
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { agent: agent ?? false, ...options }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => {
        onData?.(chunk)
        chunks.push(chunk)
      })
      answer.on('error', reject)
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          headers: answer.headers,
          text: Buffer.concat(chunks).toString('utf8'),
        }),
      )
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

/** The URL to which an app redirects; `undefined` takes a parameter away. */
export function authorizeURL(fake: FakeBitbucket, changes: Record<string, string | undefined> = {}): string {
  const parameters = {
    client_id: FAKE_CLIENT.clientID,
    response_type: 'code',
    redirect_uri: CALLBACK,
    state: 'a state',
    ...changes,
  }
  const url = new URL(fake.endpoints.authorizationURL)
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) url.searchParams.set(name, value)
  return url.href
}

/** Signs in and returns the parameters of the callback. */
export async function callbackOf(
  fake: FakeBitbucket,
  person: string,
  changes: Record<string, string | undefined> = {},
): Promise<Record<string, string>> {
  const callback = new URL(await fake.signIn(authorizeURL(fake, changes), { person }))
  return Object.fromEntries(callback.searchParams)
}

export function basic(
  clientID: string = FAKE_CLIENT.clientID,
  clientSecret: string = FAKE_CLIENT.clientSecret,
): string {
  return `Basic ${Buffer.from(`${clientID}:${clientSecret}`).toString('base64')}`
}

/** A token request, authenticated with Basic unless `authorization` says otherwise (`null` = no header). */
export async function requestToken(
  fake: FakeBitbucket,
  form: Record<string, string>,
  authorization: string | null = basic(),
) {
  const answer = await send(fake.endpoints.tokenURL, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(authorization !== null && { authorization }),
    },
    body: new URLSearchParams(form).toString(),
  })
  return { ...answer, json: () => JSON.parse(answer.text) }
}

/** Redeems a code of the default callback. */
export function exchange(fake: FakeBitbucket, code: string | undefined, more: Record<string, string> = {}) {
  return requestToken(fake, { grant_type: 'authorization_code', code: code ?? '', redirect_uri: CALLBACK, ...more })
}

/** A person's access token, with all scopes of the client or some of them. */
export async function tokenOf(fake: FakeBitbucket, person: string, scope?: string): Promise<string> {
  const { code } = await callbackOf(fake, person, { scope })
  return (await exchange(fake, code)).json().access_token
}

/** A GET of the API with that token. */
export async function get(fake: FakeBitbucket, path: string, token: string) {
  const url = path.startsWith('http') ? path : fake.endpoints.apiURL + path
  const answer = await send(url, { headers: { authorization: `Bearer ${token}` } })
  return { ...answer, json: () => JSON.parse(answer.text) }
}
