import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { homedir, hostname } from 'node:os'
import { inspect } from 'node:util'
import { BitbucketSignInError } from 'passport-bitbucket-signin'
import { FAKE_CLIENT } from 'passport-bitbucket-signin/testing'
import { expect, vi } from 'vitest'
import { Secret } from '../../src/contract/secret'
import { TestBrowser } from '../support/browser'
import { browsers, codesOf, ourCookies, startLab, test } from '../support/lab'

const SEAL = 'test-secret-test-secret-test-secret'

/** Tokens, codes, states and verifiers that went over the wire so far. */
function secretsOf(lab: Awaited<ReturnType<typeof startLab>>): string[] {
  return [
    FAKE_CLIENT.clientSecret,
    SEAL,
    ...lab.fake.requests.flatMap(({ form, headers }) => [
      form.code ?? '',
      form.code_verifier ?? '',
      headers.authorization?.replace(/^\w+ /, '') ?? '',
    ]),
  ].filter((secret) => secret.length > 8)
}

test('LEK-02: prints no secret with the plugin, its strategy, its options or its errors', async () => {
  const errors: unknown[] = []
  const onError = (error: unknown) => void errors.push(error)
  const lab = await startLab({ options: { paths: { failed: '/failed' }, onError } })
  const { victim } = browsers()
  await lab.signIn(victim, 'alice')
  const url = await lab.callback(victim, 'alice')
  lab.fake.script('token', (request) => ({ status: 400, json: { error: 'invalid_grant', echo: request.body } }))
  await victim.get(url)
  await lab.bitbucket
    .refreshTokens({ refreshToken: 'SECRET-REFRESH-TOKEN' })
    .catch((error: unknown) => errors.push(error))
  expect(errors.at(-1)).toBeInstanceOf(BitbucketSignInError)
  expect(errors.length).toBeGreaterThan(1)
  const everything = [lab.bitbucket, lab.bitbucket.strategy, lab.bitbucket.router, errors, lab.events, lab.faults]
  const printed = [
    ...everything.map((each) => inspect(each, { depth: 9, showHidden: true, maxArrayLength: 1000 })),
    ...everything.map((each) => String(each)),
    JSON.stringify(lab.bitbucket.strategy, (key, value) => (key === '_passport' ? undefined : value)) ?? '',
    ...errors.map((error) => `${(error as Error).stack}${JSON.stringify(error)}`),
  ].join('\n')
  for (const secret of [...secretsOf(lab), 'SECRET-REFRESH-TOKEN']) expect(printed.includes(secret)).toBe(false)
  const kept = new Secret('kept-to-itself')
  const shown = `${inspect(kept, { showHidden: true })}${JSON.stringify({ kept })}${kept}${inspect([kept])}`
  expect([shown.includes('kept-to-itself'), kept.reveal()]).toEqual([false, 'kept-to-itself'])
})

test('LEK-03: writes nothing to the console with debugging on', async () => {
  const written: string[] = []
  for (const stream of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[stream], 'write').mockImplementation((chunk) => {
      written.push(String(chunk))
      return true
    })
  }
  for (const method of ['log', 'error', 'warn', 'info', 'debug'] as const) {
    vi.spyOn(console, method).mockImplementation((...args) => void written.push(args.join(' ')))
  }
  vi.stubEnv('DEBUG', '*')
  const lab = await startLab()
  const { victim } = browsers()
  await lab.signIn(victim, 'alice')
  await victim.get(lab.callbackURL({ code: 'x', state: 'y' }))
  const me = await lab.me(victim)
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
  expect(me).toBe('u1')
  expect(written.join('')).toBe('')
})

test('LEK-05: passes tokens to the hook that asked for them only, and never to session, user or cookies', async ({
  lab,
  victim,
}) => {
  const answer = await lab.signIn(victim, 'alice')
  const tokens = lab.accounts.tokens.get('u1')
  expect(tokens?.accessToken.length).toBeGreaterThan(40)
  const others = lab.accounts.calls
    .filter(({ name }) => name !== 'storeTokens')
    .map(({ input: { req: _req, ...rest } }) => rest)
  const seen = JSON.stringify([
    lab.store,
    answer,
    [...victim.jar(lab.url)],
    others,
    [...lab.accounts.users],
    lab.events,
  ])
  for (const token of [tokens?.accessToken, tokens?.refreshToken]) expect(seen.includes(token ?? '?')).toBe(false)
  const without = await startLab({ without: ['storeTokens'] })
  await without.signIn(victim, 'alice')
  expect(await without.me(victim)).toBe('u1')
  expect(without.accounts.tokens.size).toBe(0)
})

test('LEK-06: emits events without code, state, verifier, address or token', async ({ untrusted: lab, victim }) => {
  const url = new URL(await lab.callback(victim, 'alice'))
  await victim.get(url.href)
  await lab.verify(victim, 'BBBB-BBBB')
  const { code = '' } = lab.mails[0] ?? {}
  await lab.verify(victim, code)
  await victim.get(url.href)
  const told = JSON.stringify(lab.events)
  const secrets = [
    url.searchParams.get('state'),
    url.searchParams.get('code'),
    code,
    'alice@example.com',
    ...secretsOf(lab),
  ]
  for (const secret of secrets) expect(told.includes(secret ?? '?')).toBe(false)
  expect(lab.events.map(({ type }) => type)).toEqual(['started', 'code_sent', 'code_failed', 'signed_up', 'refused'])
})

test('LEK-07: shows no stack and no word of upstream or hooks on pages, in production as in development', async () => {
  for (const mode of ['production', 'development', undefined]) {
    vi.stubEnv('NODE_ENV', mode)
    const lab = await startLab()
    const { victim } = browsers()
    const marked = 'MARK-of-the-inside'
    const answers = []
    for (const fault of [{ status: 500, html: marked }, { json: { error: marked } }, { bytes: Buffer.from(marked) }]) {
      const url = await lab.callback(victim, 'alice')
      lab.fake.script('token', [fault])
      answers.push(await victim.get(url))
    }
    lab.fake.clearScripts()
    for (const hook of ['getUserByIdentity', 'getAccountsByEmail', 'createUser']) {
      lab.accounts.intercept = (name) => {
        if (name === hook) throw new Error(marked)
      }
      const answer = await victim.get(await lab.callback(victim, 'alice'))
      // Ours, and not whatever the app makes of an error of the database.
      expect(codesOf(answer)).toContain('hook_failed')
      answers.push(answer)
    }
    for (const { status, text } of answers) {
      expect(status).toBeGreaterThanOrEqual(500)
      expect(text).not.toMatch(new RegExp(`${marked}|at \\w+ \\(|node_modules|/src/`))
    }
    lab.accounts.intercept = () => {}
    await lab.signIn(victim, 'alice')
    expect(await lab.me(victim)).toBe('u1')
    vi.unstubAllEnvs()
  }
})

test('LEK-08: gives a stranger the same answer to every invalid callback', async ({ lab, victim, attacker }) => {
  const open = await lab.callback(victim, 'alice')
  const used = await lab.callback(victim, 'carol')
  await victim.get(used)
  const answers = [
    await attacker.get(open),
    await attacker.get(used),
    await attacker.get(lab.callbackURL({ code: 'x', state: '0AAAAAAAAAAAAAAAAAAAAAA' })),
    await attacker.get(lab.callbackURL({ code: 'x' })),
    await attacker.get(lab.callbackURL({ error: 'access_denied', state: 'x' })),
    await attacker.get(`${lab.base}/callback`),
    await attacker.get(`${open}&iss=https://evil.example`),
    await attacker.get(`${open}&state=x`),
  ]
  for (const { status, text, headers } of answers) {
    expect([status, text === answers[0]?.text, headers['set-cookie']]).toEqual([403, true, undefined])
  }
})

test('LEK-09: sends tokens in the Authorization header and the secret to the token endpoint, and neither in a URL', async () => {
  const lab = await startLab({ connection: { workspaces: ['acme'] } })
  const { victim } = browsers()
  await lab.signIn(victim, 'alice')
  expect(await lab.me(victim)).toBe('u1')
  const basic = Buffer.from(`${FAKE_CLIENT.clientID}:${FAKE_CLIENT.clientSecret}`).toString('base64')
  const requests = lab.fake.requests.filter(({ endpoint }) => endpoint !== 'authorize')
  expect(requests.map(({ endpoint }) => endpoint).sort()).toEqual(['emails', 'token', 'user', 'workspace'])
  for (const { endpoint, url, headers, form } of requests) {
    expect(url).not.toMatch(/token=|secret|code=|Bearer/)
    expect(form.client_secret ?? form.access_token).toBeUndefined()
    if (endpoint === 'token') expect(headers.authorization).toBe(`Basic ${basic}`)
    else expect(headers.authorization).toMatch(/^Bearer [\x21-\x7e]+$/)
    expect(headers.cookie ?? headers.referer).toBeUndefined()
  }
})

test('LEK-11: shows the domain of an address, and the rest at a fixed length', async () => {
  const lengths = new Set<number>()
  for (const address of ['a@b.com', 'averyveryverylonglocalpart@averyverylongdomain.example.com', 'ab@example.com']) {
    const lab = await startLab({ connection: { trustedProvider: false } })
    const { victim } = browsers()
    lab.fake.updatePerson('alice', { emails: [{ address, primary: true, confirmed: true }] })
    await lab.pendingCode(victim, 'alice')
    const { text } = await lab.get(victim, '/email')
    expect(text).not.toContain(address)
    const masked = />(a\*\*\*)@[\w.]+\.com</.exec(text)?.[1] ?? ''
    lengths.add(masked.length)
  }
  expect([...lengths]).toEqual([4])
})

test('LEK-12: leaves the browser on a clean URL after the callback, without a referrer', async ({
  untrusted: lab,
  victim,
}) => {
  const answer = await lab.signIn(victim, 'alice')
  const { url, answer: page } = await victim.follow(answer, lab.base)
  expect(url).toBe(`${lab.base}/email`)
  expect(page.headers['referrer-policy']).toBe('same-origin')
  expect(answer.headers['referrer-policy']).toBe('no-referrer')
})

// npm walks the whole folder, which takes its time on a busy machine.
test('LEK-13: publishes no tests, certificates or local paths', { timeout: 60_000 }, () => {
  const list = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { encoding: 'utf8' })
  const parsed = JSON.parse(list.slice(list.search(/[[{]/))) as unknown
  const [pack] = (Array.isArray(parsed) ? parsed : Object.values(parsed as object)) as { files: { path: string }[] }[]
  const paths = pack?.files.map(({ path }) => path) ?? []
  expect(paths.length).toBeGreaterThan(20)
  expect(
    paths.filter(
      (path) => !/^(?:dist\/|src\/|docs\/|recipes\/|examples\/|package\.json$|llms\.txt$|[A-Z]+(?:\.md)?$)/.test(path),
    ),
  ).toEqual([])
  expect(paths.filter((path) => /\.(?:pem|key|env|log|sqlite|tgz)$|test\//.test(path))).toEqual([])
  const marked = ['PRIVATE KEY', process.cwd(), homedir(), hostname()].filter((text) => text.length > 3)
  for (const path of paths) {
    if (path.endsWith('.png')) continue
    const text = readFileSync(path, 'utf8')
    expect([path, marked.filter((each) => text.includes(each))]).toEqual([path, []])
  }
})

test('LEK-14: does not disclose the other owner of an identity', async ({ lab }) => {
  await lab.signIn(new TestBrowser(), 'alice')
  const owner = lab.accounts.users.get('u1')
  if (owner) owner.name = 'Olga Owner'
  const { attacker } = browsers()
  await lab.member(attacker)
  const url = await lab.fake.signIn(await lab.link(attacker), { person: 'alice' })
  const reflected = ['u1', 'Olga', 'alice@example.com']
  await lab.refused(attacker, () => attacker.get(url), { code: 'identity_linked_elsewhere', reflected })
  // A disabled owner gives the same answer.
  if (owner) owner.disabled = true
  const again = await lab.fake.signIn(await lab.link(attacker), { person: 'alice' })
  await lab.refused(attacker, () => attacker.get(again), { code: 'identity_linked_elsewhere', reflected })
  // So does one who is gone.
  const third = await lab.fake.signIn(await lab.link(attacker), { person: 'alice' })
  lab.accounts.intercept = (name) => (name === 'getUserByIdentity' ? 'orphaned' : undefined)
  await lab.refused(attacker, () => attacker.get(third), { code: 'identity_linked_elsewhere', reflected })
  lab.accounts.intercept = () => {}
  const own = await lab.fake.signIn(await lab.link(attacker), { person: 'carol' })
  expect((await attacker.get(own)).location).toBe('/')
  expect(ourCookies(attacker, lab.url).size).toBe(0)
})
