import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OAuth2Server } from 'oauth2-mock-server'
import {
  type FakeBehaviour,
  type FakeBitbucket,
  type FakeProfile,
  startFakeBitbucket,
} from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { dispatch } from '../../src/cli/dispatch'
import { openGuide } from '../../src/record/guide'
import type { Observations } from '../../src/record/observations'
import type { Target } from '../../src/record/observe'
import { answersOf, behaviourOf } from '../../src/record/questions'
import { Recording } from '../../src/record/recording'
import { startTestApp } from '../support/app'
import { TestBrowser } from '../support/browser'
import { type End, freeCallback, operate } from './operator'

const CLIENT = { clientID: 'kTr4zQ9wLm2Xv7Bn', clientSecret: 'sEcReT-of-32-characters-Jq8Yp3Wd' }

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'record-'))
})
afterAll(() => rm(folder, { recursive: true }))

let fake: FakeBitbucket | undefined
let foreign: OAuth2Server | undefined
afterEach(async () => {
  await fake?.close()
  await foreign?.stop()
  fake = undefined
  foreign = undefined
})

let clockMs = 0

/** A fake with one client, matched as strictly as Bitbucket does. */
async function startFake(profile: FakeProfile, behaviour: FakeBehaviour, callbackURL: string) {
  clockMs = Date.now()
  fake = await startFakeBitbucket({
    profile,
    behaviour,
    now: () => clockMs,
    clients: [{ ...CLIENT, callbackURL }],
  })
  return fake
}

/** Records a server step by step; `check` waits first. */
async function record(target: Target, end: End = 'check', waitMs = 11 * 60_000): Promise<Observations> {
  let recorded: Observations | undefined
  const now = () => clockMs
  const recording = new Recording(target, now)
  const done = async () => {
    recorded = recording.observations
  }
  const guide = await openGuide({ recording, file: 'x.json', waitMs, now, done })
  try {
    await operate(guide.url, end, () => {
      clockMs += waitMs
    })
  } finally {
    await guide.close()
  }
  if (!recorded) throw new Error('nothing was recorded')
  return recorded
}

async function recordFake(profile: FakeProfile, behaviour: FakeBehaviour = {}) {
  const callbackURL = await freeCallback()
  const { endpoints } = await startFake(profile, behaviour, callbackURL)
  return record({ ...CLIENT, ...endpoints, callbackURL })
}

const inWords = (seen: Observations) => answersOf(seen).map(({ answer }) => answer)

/** The record of a server that we did not write. It knows neither consent nor errors, and has no addresses. */
async function startForeign() {
  foreign = new OAuth2Server(undefined, undefined, { endpoints: { userinfo: '/2.0/user' } })
  foreign.service.on('beforeUserinfo', (answer) => {
    answer.body = { ...FOREIGN_PERSON }
  })
  await foreign.issuer.keys.generate('RS256')
  await foreign.start(0, '127.0.0.1')
  const origin = `http://127.0.0.1:${foreign.address().port}`
  return { authorizationURL: `${origin}/authorize`, tokenURL: `${origin}/token`, apiURL: `${origin}/2.0` }
}

const FOREIGN_PERSON = {
  type: 'user',
  uuid: '{7c5f1d7e-9f0b-4d6c-8a3e-2b1f0c9d8e7a}',
  account_id: '557058:9b1c',
  nickname: 'johnny',
  display_name: 'John Doe',
  links: {},
}

describe('a record of the fake', () => {
  test('answers the thirteen questions for the profile bitbucket', async () => {
    expect(inWords(await recordFake('bitbucket'))).toMatchInlineSnapshot(`
      [
        "error=access_denied, the description "The user denied access", state same. It is not remembered.",
        "A used code got status 400 invalid_grant "The specified code is not valid.". Its access token outlived the reuse. After 660 s a code got status 400 invalid_grant "The specified code is not valid.".",
        "Ignored: a wrong verifier was accepted.",
        "a longer path: refused; a slash at the end: refused; a query: refused; another case: refused; no redirect_uri: accepted.",
        "Yes.",
        "Yes. The token had: account.",
        "access_token, refresh_token, token_type, expires_in, scope. Scopes are in: scope.",
        "Immediately after its use a refresh token still worked. An unknown one got status 400 unauthorized_client "Invalid OAuth client credentials". After 660 s the used one got status 400 unauthorized_client "Invalid OAuth client credentials", and the other tokens of its consent were kept.",
        "None was met, and the recorder provokes none.",
        "Not in this account (1 addresses, 1 confirmed).",
        "X-Credential-Type: absent. WWW-Authenticate for a bad token: OAuth.",
        "Header scheme "bearer": status 401. The former host was not tried.",
        "No: status 404.",
      ]
    `)
  })

  test('answers them differently for the profile platform', async () => {
    expect(inWords(await recordFake('platform'))).toMatchInlineSnapshot(`
      [
        "error=access_denied, the description "User did not authorize the request", state same. It is remembered: Allow was not offered afterwards.",
        "A used code got status 403 invalid_grant "Invalid authorization code". Its access token outlived the reuse. After 660 s a code got status 403 invalid_grant "Invalid authorization code".",
        "Verified: a wrong verifier got status 400 invalid_grant "The code_verifier does not match the code_challenge.", then the right one was accepted.",
        "a longer path: refused; a slash at the end: refused; a query: refused; another case: refused; no redirect_uri: refused.",
        "Yes.",
        "No: status 403. The token had: account.",
        "access_token, refresh_token, token_type, expires_in, scope. Scopes are in: scope.",
        "Immediately after its use a refresh token still worked. An unknown one got status 400 unauthorized_client "Invalid OAuth client credentials". After that a valid one was refused as well. After 660 s the used one got status 400 unauthorized_client "Invalid OAuth client credentials", and the other tokens of its consent were revoked.",
        "None was met, and the recorder provokes none.",
        "Not in this account (1 addresses, 1 confirmed).",
        "X-Credential-Type: absent. WWW-Authenticate for a bad token: OAuth.",
        "Header scheme "bearer": status 401. The former host was not tried.",
        "No: status 404.",
      ]
    `)
  })

  test('answers them differently for the profile legacy', async () => {
    expect(inWords(await recordFake('legacy'))).toMatchInlineSnapshot(`
      [
        "error=access_denied, no description, state same. It is not remembered.",
        "A used code got status 400 invalid_grant "The specified code is not valid.". Its access token outlived the reuse. After 660 s a code got status 400 invalid_grant "The specified code is not valid.".",
        "Ignored: a wrong verifier was accepted.",
        "a longer path: accepted; a slash at the end: accepted; a query: refused; another case: refused; no redirect_uri: accepted.",
        "Yes.",
        "Yes. The token had: account.",
        "access_token, refresh_token, token_type, expires_in, scopes, state. Scopes are in: scopes.",
        "Immediately after its use a refresh token still worked. An unknown one got status 400 invalid_request "Invalid refresh_token". After 660 s the used one got status 400 invalid_request "Invalid refresh_token", and the other tokens of its consent were kept.",
        "None was met, and the recorder provokes none.",
        "Not in this account (1 addresses, 1 confirmed).",
        "X-Credential-Type: absent. WWW-Authenticate for a bad token: OAuth.",
        "Header scheme "bearer": accepted. The former host was not tried.",
        "No: status 404.",
      ]
    `)
  })

  test.each(['bitbucket', 'platform', 'legacy'] as const)(
    'gives the same answers when the fake plays it back (%s)',
    async (profile) => {
      const first = await recordFake(profile)
      const file = join(folder, `${profile}.json`)
      await writeFile(file, JSON.stringify({ format: 1, behaviour: behaviourOf(first) }))
      await fake?.close()
      const callbackURL = await freeCallback()
      fake = await startFakeBitbucket({ record: file, now: () => clockMs, clients: [{ ...CLIENT, callbackURL }] })
      expect(inWords(await record({ ...CLIENT, ...fake.endpoints, callbackURL }))).toEqual(inWords(first))
    },
  )

  test('lists open questions if the operator skips everything', async () => {
    const callbackURL = await freeCallback()
    const { endpoints } = await startFake('bitbucket', {}, callbackURL)
    const recording = new Recording({ ...CLIENT, ...endpoints, callbackURL })
    while (recording.visit) recording.give('skipped')
    await recording.finish()
    const answers = answersOf(recording.observations)
    expect(answers.filter(({ settled }) => settled)).toEqual([])
    expect(behaviourOf(recording.observations)).toEqual({
      wrongClient: { status: 400, error: 'unauthorized_client', description: 'Invalid OAuth client credentials' },
    })
  })

  test('reports a rate limit, an unconfirmed primary address and an error without a state', async () => {
    const callbackURL = await freeCallback()
    const { endpoints } = await startFake('bitbucket', { stateInErrors: false }, callbackURL)
    fake?.updatePerson('alice', { emails: [{ address: 'a@example.com', primary: true, confirmed: false }] })
    fake?.script('user', [null, { problem: 'rate-limited' }])
    const words = inWords(await record({ ...CLIENT, ...endpoints, callbackURL }))
    expect(words[0]).toContain('state missing')
    expect(words[8]).toBe('429, text/plain, 46 bytes, without Retry-After.')
    expect(words[9]).toBe('Yes: this account has one.')
  })
})

describe('a record of a foreign server', () => {
  test('answers what is visible there, and leaves the rest open', async () => {
    const target = { ...CLIENT, ...(await startForeign()), callbackURL: await freeCallback() }
    expect(answersOf(await record(target)).map(({ settled, answer }) => `${settled} ${answer}`)).toMatchInlineSnapshot(`
      [
        "false No denial was seen: the client had been allowed before.",
        "true A used code got status 400 invalid_request "code_challenge required". After 660 s a code still worked.",
        "true Verified: a wrong verifier got status 400 invalid_request "code_verifier provided does not match code_challenge", and it consumed the code.",
        "true a longer path: accepted; a slash at the end: accepted; a query: accepted; another case: accepted; no redirect_uri: refused.",
        "true Yes.",
        "false No: status 404.",
        "true access_token, token_type, expires_in, scope, id_token, refresh_token. Scopes are in: scope.",
        "false Immediately after its use a refresh token still worked. An unknown one got status 200. After 660 s the used one still worked, and the other tokens of its consent were not tried.",
        "false None was met, and the recorder provokes none.",
        "false Not tried.",
        "true X-Credential-Type: absent. WWW-Authenticate for a bad token: absent.",
        "false Header scheme "bearer": accepted. The former host was not tried.",
        "true It answers 200; the token still worked afterwards.",
      ]
    `)
  })

  test('can be played back', async () => {
    const target = { ...CLIENT, ...(await startForeign()), callbackURL: await freeCallback() }
    const file = join(folder, 'foreign.json')
    await writeFile(file, JSON.stringify({ format: 1, behaviour: behaviourOf(await record(target)) }))
    fake = await startFakeBitbucket({ record: file })
    const start = `${fake.endpoints.authorizationURL}?response_type=code&client_id=fake-client-id&redirect_uri=http://localhost/cb`
    expect(await fake.signIn(start, { person: 'alice' })).toContain('code=')
  })
})

describe('a record contains no secret', () => {
  /** Everything that went over the wire and must not be written down. */
  function secretsOf(fake: FakeBitbucket): string[] {
    const sent = fake.requests.flatMap(({ query, form, headers }) => [
      ...Object.entries({ ...query, ...form })
        .filter(
          ([name]) => !['response_type', 'grant_type', 'scope', 'code_challenge_method', 'decision'].includes(name),
        )
        .map(([, value]) => value),
      headers.authorization?.replace(/^\w+ /, '') ?? '',
    ])
    const { uuid, accountId, displayName, nickname, emails, workspaces } = fake.person('alice')
    const person = [uuid.slice(1, -1), accountId, displayName, ...displayName.split(' '), nickname]
    return [
      ...sent.filter((value) => value.length > 3 && value !== 'none'),
      ...person,
      ...emails.map(({ address }) => address),
      ...workspaces.map(({ slug }) => slug),
      CLIENT.clientID,
      CLIENT.clientSecret,
      new URL(fake.url).host,
    ]
  }

  test.each(['bitbucket', 'platform', 'legacy'] as const)(
    'for the profile %s, as the command writes it',
    async (profile) => {
      const { text, url } = await recordByCommand(profile)
      expect(JSON.parse(text).answers).toHaveLength(13)
      const secrets = secretsOf(fake as FakeBitbucket)
      expect(secrets.length).toBeGreaterThan(60)
      expect(secrets.filter((secret) => text.toLowerCase().includes(secret.toLowerCase()))).toEqual([])
      expect(text).not.toMatch(/[\w-]{40,}|@|\{[0-9a-f]{8}-|\b[0-9a-f]{16,}\b/)
      expect(text).not.toContain(new URL(url).host)
    },
  )

  test('even if a server puts secrets into words', async () => {
    const callbackURL = await freeCallback()
    const { endpoints } = await startFake('bitbucket', {}, callbackURL)
    const secret = 'alicearcher'
    fake?.script('token', {
      edit: (body) => ({
        ...body,
        [secret]: secret,
        error: `${secret}Q`,
        error_description: `no ${secret} here`,
        scope: secret,
      }),
      headers: {
        'www-authenticate': `Bearer realm="${secret}"`,
        'x-credential-type': `${secret} 7`,
        'retry-after': secret,
      },
    })
    fake?.script('user', {
      edit: (body) => ({ ...body, [secret]: [secret], links: { [secret]: { href: secret } }, type: secret }),
      headers: { 'x-oauth-scopes': `account ${secret}`, 'content-type': `application/json; ${secret}` },
    })
    const seen = await record({ ...CLIENT, ...endpoints, callbackURL })
    const text = JSON.stringify([seen, answersOf(seen), behaviourOf(seen)])
    expect(text).not.toContain(secret)
    expect(text).toContain('(other keys)')
  })

  test('in the output of the command or on the page', async () => {
    const { output } = await recordByCommand('bitbucket')
    expect(output).toContain('Recorded in ')
    expect(secretsOf(fake as FakeBitbucket).filter((secret) => output.includes(secret))).toEqual([])
  })
})

/** Runs the command against a fake and returns the file. The end is not waited for. */
async function recordByCommand(profile: FakeProfile) {
  const callbackURL = await freeCallback()
  const { url } = await startFake(profile, {}, callbackURL)
  const file = join(folder, `command-${profile}.json`)
  const { code, output } = await run(
    ['--bitbucket', url, '--callback-url', callbackURL, '--output', file],
    [CLIENT.clientID, CLIENT.clientSecret],
    async () => {
      await operate(new URL('/', callbackURL).href, 'finish')
    },
  )
  expect(code).toBe(0)
  return { text: await readFile(file, 'utf8'), output, url }
}

/** Runs `record`; the answers are what the operator types. */
async function run(args: readonly string[], answers: readonly string[] = [], whileRunning = async () => {}) {
  let output = ''
  let errors = ''
  const asked: [string, boolean][] = []
  const code = await dispatch(['record', ...args], {
    write: (text) => {
      output += text
    },
    writeError: (text) => {
      errors += text
    },
    untilStopped: whileRunning,
    ask: async (question, { hidden = false } = {}) => {
      asked.push([question, hidden])
      return answers[asked.length - 1] ?? null
    },
  })
  return { code, output, errors, asked }
}

describe('the command', () => {
  test('asks for the client and hides the secret', async () => {
    const callbackURL = await freeCallback()
    const { code, asked, errors } = await run(['--callback-url', callbackURL], ['k', 's'])
    expect(asked).toEqual([
      ['Client ID (Key): ', false],
      ['Secret (is not shown): ', true],
    ])
    expect([code, errors]).toEqual([1, 'Nothing was recorded, because the last step was not reached.\n'])
  })

  test('reads the client from the environment, and no secret from its arguments', async () => {
    vi.stubEnv('BITBUCKET_CLIENT_ID', 'k')
    vi.stubEnv('BITBUCKET_CLIENT_SECRET', 's')
    const { asked } = await run(['--callback-url', await freeCallback()])
    vi.unstubAllEnvs()
    expect(asked).toEqual([])
    expect((await run(['--client-secret', 's'])).errors).toContain("Unknown option '--client-secret'")
  })

  test.each([
    [[], [], 'BITBUCKET_CLIENT_ID is not set'],
    [['--callback-url', 'https://app.example.com/callback'], ['k', 's'], '--callback-url must be http on loopback'],
    [['--callback-url', 'http://127.0.0.1:3002/'], ['k', 's'], '--callback-url must be http on loopback'],
    [['--callback-url', 'http://127.0.0.1:3002/start'], ['k', 's'], '--callback-url must be http on loopback'],
    [['--callback-url', 'http://127.0.0.1:3002/callback?x=1'], ['k', 's'], '--callback-url must be http on loopback'],
    [['--token-url', 'https://x.example/token'], ['k', 's'], 'Set all three'],
    [['--bitbucket', 'x'], ['k', 's'], '--bitbucket must be an address'],
  ])('refuses %j', async (args, answers, message) => {
    const { code, errors } = await run(args, answers)
    expect([code, errors.includes(message)]).toEqual([2, true])
  })

  test('reads both answers from a pipe, echoes none, and ends on a signal', async () => {
    const args = ['dist/cli/index.js', 'record', '--callback-url', await freeCallback()]
    const env = { ...process.env, BITBUCKET_CLIENT_ID: '', BITBUCKET_CLIENT_SECRET: '' }
    const command = spawn(process.execPath, args, { env })
    let printed = ''
    const note = (chunk: Buffer) => {
      printed += String(chunk)
    }
    command.stdout.on('data', note)
    command.stderr.on('data', note)
    // The command listens to signals right after it has printed where to go.
    command.stdout.once('data', () => setTimeout(() => command.kill('SIGTERM'), 200))
    command.stdin.end('an-id\na-secret\n')
    const [code] = await once(command, 'close')
    expect(code).toBe(1)
    expect(printed).toMatch(/Client ID \(Key\): Secret \(is not shown\): \nOpen http/)
    expect(printed).not.toMatch(/an-id|a-secret/)
  })

  test('prints its help', async () => {
    const { code, output } = await run(['--help'])
    expect([code, output.includes('no token, name, address or id')]).toEqual([0, true])
  })
})

describe('the page', () => {
  async function opened() {
    const callbackURL = await freeCallback()
    const { endpoints } = await startFake('bitbucket', {}, callbackURL)
    const recording = new Recording({ ...CLIENT, ...endpoints, callbackURL })
    const guide = await openGuide({ recording, file: 'x.json', done: async () => {} })
    return { recording, guide, browser: new TestBrowser() }
  }

  test('answers to its own host name only', async () => {
    const { guide, browser } = await opened()
    expect((await browser.get(guide.url)).status).toBe(200)
    expect((await browser.get(guide.url, { headers: { host: 'evil.example' } })).status).toBe(403)
    await guide.close()
  })

  test('accepts a button only with the key of its own pages', async () => {
    const { guide, browser, recording } = await opened()
    for (const fields of [{}, { key: 'guessed' }]) {
      expect((await browser.post(`${guide.url}skipped`, fields)).status).toBe(403)
    }
    expect(recording.visit?.id).toBe('denial')
    await guide.close()
  })

  test.each([
    ['without a start', false, 'code=x&state=y'],
    ['with another state', true, 'code=x&state=y'],
    ['with a code and no state', true, 'code=x'],
  ])('refuses a callback %s', async (_what, starts, query) => {
    const { guide, browser, recording } = await opened()
    if (starts) await browser.get(`${guide.url}start`)
    expect((await browser.get(`${guide.url}callback?${query}`)).status).toBe(400)
    expect([recording.visit?.id, recording.observations.visits]).toEqual(['denial', {}])
    expect(fake?.count('token')).toBe(0)
    await guide.close()
  })
})

describe('a foreign server as upstream', () => {
  test.each([4, 5] as const)('signs a known user in on Express %s without reading addresses', async (express) => {
    const endpoints = await startForeign()
    fake = await startFakeBitbucket()
    const app = await startTestApp({ express, fake, connection: { endpoints } })
    const user = app.accounts.add({
      identities: [{ issuer: new URL(endpoints.apiURL).origin, id: FOREIGN_PERSON.uuid }],
    })
    const browser = new TestBrowser()
    const callback = (await browser.get(await app.start(browser, '/x'))).location
    const end = await browser.get(callback, { headers: { 'sec-fetch-site': 'cross-site' } })
    expect([end.location, await app.me(browser)]).toEqual(['/x', user.id])
    await app.close()
  })

  test('does not sign up an unknown user without the list of addresses', async () => {
    const endpoints = await startForeign()
    fake = await startFakeBitbucket()
    const app = await startTestApp({ fake, connection: { endpoints } })
    const browser = new TestBrowser()
    const end = await browser.get((await browser.get(await app.start(browser))).location)
    expect([end.status, await app.me(browser), app.accounts.writes()]).toEqual([502, null, []])
    await app.close()
  })
})
