import { inspect } from 'node:util'
import { BitbucketSignInError, type BitbucketSignInOptions, bitbucketSignIn } from 'passport-bitbucket-signin'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { cpuMs } from '../support/clock'

interface User {
  readonly id: string
}

const CLIENT_SECRET = 'a-client-secret-that-must-not-be-shown'
const SECRET = 'a-secret-that-seals-cookies-and-must-not-be-shown'
const CONNECTION = {
  clientID: 'key',
  clientSecret: CLIENT_SECRET,
  callbackURL: 'https://app.example/auth/bitbucket/callback',
}
const HOOKS = {
  getUserByIdentity: () => null,
  getAccountsByEmail: () => [],
  createUser: () => ({ id: 'u1' }),
  linkIdentity: () => undefined,
}
const OPTIONS = {
  passport: { authenticate: () => undefined },
  secrets: [SECRET],
  connection: CONNECTION,
  accounts: HOOKS,
  sendEmailCode: () => undefined,
}

beforeEach(() => {
  // Warnings about missing hooks are tested where they are given.
  vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
})

function construct(changes: object): void {
  bitbucketSignIn<User>({ ...OPTIONS, ...changes } as BitbucketSignInOptions<User>).close()
}
const connect = (changes: object) => construct({ connection: { ...CONNECTION, ...changes } })

/** The message with which these options are refused; no value of a secret may be in the error. */
function refusal(act: () => void): string {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(BitbucketSignInError)
    expect(error).toMatchObject({ code: 'configuration_invalid', status: 500 })
    const shown = inspect(error, { depth: 9, showHidden: true })
    for (const secret of [CLIENT_SECRET, SECRET, 'short-secret']) expect(shown).not.toContain(secret)
    return (error as Error).message
  }
  throw new Error('accepted')
}

test('accepts the controls', () => {
  construct({})
  connect({})
})

describe('names a misspelt option, and the one that was meant', () => {
  test.each([
    [{ secret: [SECRET] }, 'bitbucketSignIn: unknown option `secret`. Did you mean `secrets`?'],
    [{ secrets: undefined, secret: [SECRET] }, 'bitbucketSignIn: unknown option `secret`. Did you mean `secrets`?'],
    [{ connection: undefined, clientID: 'key' }, 'unknown option `clientID`. It belongs in `connection`.'],
    [{ pasport: {} }, 'bitbucketSignIn: unknown option `pasport`. Did you mean `passport`?'],
    [{ onevent: () => {} }, 'bitbucketSignIn: unknown option `onevent`. Did you mean `onEvent`?'],
    [{ path: {} }, 'bitbucketSignIn: unknown option `path`. Did you mean `paths`?'],
    [{ entirelyDifferent: 1 }, 'bitbucketSignIn: unknown option `entirelyDifferent`. Remove it.'],
    [
      { policy: { untrustedEmails: 'verify' } },
      'policy: unknown option `untrustedEmails`. Did you mean `untrustedEmail`?',
    ],
    [{ policy: { trustedProvider: true } }, 'policy: unknown option `trustedProvider`. It belongs in `connection`.'],
    [{ redirectUri: 'x' }, 'unknown option `redirectUri`. Did you mean `callbackURL` in `connection`?'],
    [{ allowSignUp: false }, 'unknown option `allowSignUp`. Did you mean `signUp` in `connection`?'],
    [{ policy: { clientID: 'key' } }, 'It belongs in `connection`.'],
    [{ policy: { localAdresses: 'none' } }, 'policy: unknown option `localAdresses`. Did you mean `localAddresses`?'],
    [{ policy: { linkUnverified: true } }, 'policy: unknown option `linkUnverified`. Did you mean `localAddresses`?'],
    [{ paths: { signin: '/in' } }, 'paths: unknown option `signin`. Did you mean `signIn`?'],
    [{ session: { keeps: [] } }, 'session: unknown option `keeps`. Did you mean `keep`?'],
    [{ http: { timeout: 1000 } }, 'http: unknown option `timeout`. Did you mean `timeoutMs`?'],
    [
      { accounts: { ...HOOKS, getAccountByEmail: () => null } },
      'accounts: unknown option `getAccountByEmail`. Did you mean `getAccountsByEmail`?',
    ],
    [{ accounts: { ...HOOKS, canSignin: () => true } }, 'Did you mean `canSignIn`?'],
  ])('%j', (changes, message) => {
    expect(refusal(() => construct(changes))).toContain(message)
  })

  test.each([
    [{ clientId: 'key' }, 'connection: unknown option `clientId`. Did you mean `clientID`?'],
    [{ clientID: undefined, clientId: 'key' }, 'connection: unknown option `clientId`. Did you mean `clientID`?'],
    [{ policy: {} }, 'connection: unknown option `policy`. It belongs in the options of `bitbucketSignIn`.'],
    [{ callbackUrl: 'x' }, 'Did you mean `callbackURL`?'],
    [{ trustedProviders: true }, 'Did you mean `trustedProvider`?'],
    [{ signup: false }, 'Did you mean `signUp`?'],
    [{ redirectUri: 'x' }, 'connection: unknown option `redirectUri`. Did you mean `callbackURL`?'],
    [{ redirect_uri: 'x' }, 'Did you mean `callbackURL`?'],
    [{ allowSignUp: false }, 'connection: unknown option `allowSignUp`. Did you mean `signUp`?'],
    [{ identitiesPerUser: 'one' }, 'connection: unknown option `identitiesPerUser`. It belongs in `policy`.'],
    [{ timeoutMs: 1000 }, 'It belongs in `http`.'],
    [{ scopes: [] }, 'Did you mean `scope`?'],
    [{ __proto__: null, clientID: 'key', clientSecert: 'x' }, 'Did you mean `clientSecret`?'],
    [{ endpoints: { authorizationURL: 'https://a.example/', tokenUrl: 'x', tokenURL: 'x', apiURL: 'x' } }, 'tokenURL'],
  ])('%j', (changes, message) => {
    expect(refusal(() => connect(changes))).toContain(message)
  })

  test('refuses the keys of a prototype', () => {
    const changes = JSON.parse('{"__proto__": {"x": 1}, "constructor": 1}')
    expect(refusal(() => construct(changes))).toContain('unknown option')
  })

  test('answers a very long key in no time', () => {
    const refuse = () => expect(refusal(() => construct({ ['x'.repeat(10_000)]: 1 }))).toContain('unknown option')
    expect(cpuMs(refuse)).toBeLessThan(1000)
  })
})

describe('names what is missing', () => {
  test.each([
    ['passport', "Passport instance: `import passport from 'passport'`"],
    ['secrets', '`secrets` must be an array, for example [process.env.SESSION_SECRET].'],
    ['connection', 'connection'],
    ['accounts', 'bitbucketSignIn: `accounts` is missing.'],
    ['sendEmailCode', '`sendEmailCode` is missing'],
  ])('%s', (name, words) => {
    expect(refusal(() => construct({ [name]: undefined }))).toContain(words)
  })

  test.each(Object.keys(HOOKS))('accounts.%s', (name) => {
    expect(refusal(() => construct({ accounts: { ...HOOKS, [name]: undefined } }))).toMatch(
      new RegExp(`\`accounts\\.${name}\` must be a function`),
    )
  })

  test.each(['clientID', 'clientSecret', 'callbackURL'])('connection.%s', (name) => {
    for (const value of [undefined, null, '', 7, {}]) {
      expect(refusal(() => connect({ [name]: value }))).toContain(`connection: \`${name}\``)
    }
  })

  test.each(['clientID', 'clientSecret'])(
    'connection.%s, most often because an environment variable is missing',
    (name) => {
      expect(refusal(() => connect({ [name]: undefined }))).toBe(
        `connection: \`${name}\` is not a string; is the environment variable set?`,
      )
      expect(refusal(() => connect({ [name]: '' }))).toBe(
        `connection: \`${name}\` is empty; is the environment variable set?`,
      )
    },
  )

  test.each([
    [{ connection: { ...CONNECTION, enabled: 'false' } }, 'connection: `enabled` must be true or false, not a string.'],
    [{ http: { timeoutMs: '10' } }, 'bitbucketSignIn: `http.timeoutMs` must be a number, not a string.'],
    [{ http: { timeoutMs: 1.5 } }, 'bitbucketSignIn: `http.timeoutMs` must be a whole number, not 1.5.'],
    [{ http: { timeoutMs: 99 } }, 'bitbucketSignIn: `http.timeoutMs` must be between 100 and 60000 (milliseconds).'],
    [{ policy: [] }, 'bitbucketSignIn: `policy` must be an object, not an array.'],
    [{ policy: new Map() }, 'bitbucketSignIn: `policy` must be an object, not a Map.'],
    [{ policy: Promise.resolve({}) }, 'bitbucketSignIn: `policy` must be an object, not a Promise.'],
    [
      { policy: { missingEmail: 1 } },
      "bitbucketSignIn: `policy.missingEmail` must be one of 'ask', 'allow', 'reject'.",
    ],
    [{ session: { keep: [''] } }, 'bitbucketSignIn: `session.keep.0` must not be empty.'],
    [
      { policy: { missingEmail: 'skip' } },
      "bitbucketSignIn: `policy.missingEmail` must be one of 'ask', 'allow', 'reject'.",
    ],
  ])('describes a wrong type in plain words: %j', (changes, message) => {
    expect(refusal(() => construct(changes))).toBe(message)
  })

  test('names the options object itself', () => {
    expect(refusal(() => bitbucketSignIn(undefined as never))).toBe('bitbucketSignIn: the argument is missing.')
  })

  test('does without sendEmailCode if no policy can ask for a code', () => {
    const without = (policy: object) => () => construct({ sendEmailCode: undefined, policy })
    without({ untrustedEmail: 'reject', missingEmail: 'reject' })()
    expect(refusal(without({ untrustedEmail: 'reject' }))).toContain('sendEmailCode')
    expect(refusal(without({ missingEmail: 'allow' }))).toContain('sendEmailCode')
  })
})

describe('secrets', () => {
  test('of 32 characters are accepted, one or several', () => {
    construct({ secrets: ['s'.repeat(32)] })
    construct({ secrets: ['s'.repeat(32), 't'.repeat(64)] })
  })

  test.each([
    [['short-secret'], '`secrets.0` must have at least 32 characters'],
    [[SECRET, 'short-secret'], '`secrets.1` must have at least 32 characters'],
    [['s'.repeat(31)], '32 characters'],
    [[''], '32 characters'],
    [[undefined], '`secrets.0` is not a string; is the environment variable set?'],
    [[null], 'environment variable'],
    [[7], 'is not a string'],
    [[], 'at least one secret'],
    [SECRET, 'secrets'],
  ])('%j are refused without being shown', (secrets, words) => {
    expect(refusal(() => construct({ secrets }))).toContain(words)
  })
})

describe('trustedProvider', () => {
  test('is a boolean', () => {
    for (const trustedProvider of [true, false, undefined]) connect({ trustedProvider })
  })

  test.each(['false', 'true', 0, 1, null, {}, []])(
    '%j is refused, because it would switch trust by accident',
    (value) => {
      expect(refusal(() => connect({ trustedProvider: value }))).toContain('`trustedProvider` must be a boolean')
    },
  )
})

test.each(['enabled', 'signUp', 'visible'])('%s is a boolean too', (name) => {
  for (const value of ['false', 0, 1, {}]) {
    expect(refusal(() => connect({ [name]: value }))).toContain(`\`${name}\``)
  }
})

describe('callbackURL', () => {
  test.each([
    'https://app.example/auth/bitbucket/callback',
    'https://app.example:8443/callback',
    'http://localhost:3000/auth/bitbucket/callback',
    'http://127.0.0.1:3000/auth/bitbucket/callback',
    'http://[::1]:3000/auth/bitbucket/callback',
    'http://acme.localhost:3000/auth/bitbucket/callback',
  ])('%s is accepted', (callbackURL) => {
    connect({ callbackURL })
  })

  test.each([
    ['/auth/bitbucket/callback', 'must be an absolute URL, such as https://app.example.com/auth/bitbucket/callback.'],
    ['auth/bitbucket/callback', 'must be an absolute URL'],
    ['//app.example/auth/bitbucket/callback', 'must be an absolute URL'],
    ['http://app.example/auth/bitbucket/callback', 'must be https; plain http is for loopback only'],
    ['http://localhost.evil.example/callback', 'must be https; plain http is for loopback only'],
    ['http://bitbucket:3001/callback', 'or map the port to localhost for development.'],
    ['ftp://app.example/callback', 'must begin with https://.'],
    ['javascript:alert(1)/callback', 'must begin with https://.'],
    ['https://user:pass@app.example/callback', 'must not contain a username or password.'],
    ['https://app.example/callback?x=1', 'must not have a query (`?…`).'],
    ['https://app.example/callback#x', 'must not have a fragment (`#…`).'],
    ['https://app.example//callback', 'must not have a path that begins with `//`.'],
    ['https://*.example/callback', 'must not contain `*` or punctuation in its host'],
  ])('%s is refused for the one rule that it breaks', (callbackURL, rule) => {
    expect(refusal(() => connect({ callbackURL }))).toContain(
      `connection: \`callbackURL\` ${rule.replace(/^or /, 'must be https; plain http is for loopback only (localhost, 127.0.0.1). Register an https URL at Bitbucket, or ')}`,
    )
  })

  test("must end in the router's route, unless basePath is set", () => {
    const callbackURL = 'https://app.example/auth/bitbucket/return'
    expect(refusal(() => connect({ callbackURL }))).toContain('must end in /callback')
    construct({ connection: { ...CONNECTION, callbackURL }, basePath: '/auth/bitbucket' })
  })

  test('case 26: is refused if `basePath` does not contain it, with the path that would', () => {
    for (const basePath of ['/login', '/auth', '/', '/auth/bitbucket/callback']) {
      expect(refusal(() => construct({ basePath }))).toContain('because `basePath` is')
    }
    for (const basePath of ['/auth/bitbucket', '/auth/bitbucket/', '/Auth/Bitbucket']) construct({ basePath })
  })
})

describe('endpoints', () => {
  const at = (origin: string) => ({
    authorizationURL: `${origin}/authorize`,
    tokenURL: `${origin}/token`,
    apiURL: `${origin}/2.0`,
  })

  test.each([
    'https://gateway.example',
    'http://127.0.0.1:7990',
    'http://localhost:7990',
    'https://8.8.8.8',
    'https://[2001:db8::1]',
  ])('%s is accepted', (origin) => {
    connect({ endpoints: at(origin) })
  })

  test.each([
    ['http://gateway.example', 'must be https; plain http is for loopback only'],
    ['https://user:pass@gateway.example', 'must not contain a username or password'],
    ['https://user@gateway.example', 'must not contain a username or password'],
    ['file:///etc', 'must begin with https://'],
    ['gateway.example', 'must be an absolute URL'],
  ])('%s is refused for the one rule that it breaks', (origin, rule) => {
    expect(refusal(() => connect({ endpoints: at(origin) }))).toContain(`\`endpoints.authorizationURL\` ${rule}`)
  })

  test('http://bitbucket:3001, a container, is refused with a fix that works', () => {
    const endpoints = at('http://bitbucket:3001')
    expect(refusal(() => connect({ endpoints }))).toContain(
      'For a container of your own network, set `endpoints.allowPrivateHosts: true`.',
    )
    connect({ endpoints: { ...endpoints, allowPrivateHosts: true } })
    const open = { ...at('http://gateway.example'), allowPrivateHosts: true }
    expect(refusal(() => connect({ endpoints: open }))).toContain('must be https')
  })

  test.each([
    'https://10.0.0.1',
    'https://172.16.0.1',
    'https://192.168.1.1',
    'https://169.254.169.254',
    'https://100.64.0.1',
    'https://0.0.0.0',
    'https://2852039166',
    'https://0xa9fea9fe',
    'https://[fd00::1]',
    'https://[fe80::1]',
    'https://[::ffff:10.0.0.1]',
    'https://[::ffff:127.0.0.1]',
    'https://[::ffff:169.254.169.254]',
    'https://[::]',
    'https://10.0.0.1.',
    'https://intranet',
    'https://git.internal',
    'https://git.local',
    'https://GIT.LOCAL',
    'https://git.local.',
    'https://git.corp.internal.',
    'https://localhost.',
    'https://x.localhost.',
    'https://intranet.',
    'https://192.0.0.1',
    'https://198.18.0.1',
    'https://[64:ff9b::7f00:1]',
    'https://[::ffff:0:7f00:1]',
    'https://[2002:7f00:1::]',
    'https://[fec0::1]',
  ])('%s is inside a private network, and needs allowPrivateHosts', (origin) => {
    expect(refusal(() => connect({ endpoints: at(origin) }))).toContain('must not point into a private network')
    connect({ endpoints: { ...at(origin), allowPrivateHosts: true } })
  })

  test('are refused if one of the three is, and belong together', () => {
    const endpoints = { ...at('https://gateway.example'), apiURL: 'https://10.0.0.1/2.0' }
    expect(refusal(() => connect({ endpoints }))).toContain('private network')
    const { apiURL: _, ...two } = at('https://gateway.example')
    expect(refusal(() => connect({ endpoints: two }))).toContain('endpoints.apiURL')
  })
})

describe('other values of a connection', () => {
  test.each([
    ['scope', 'repository:write pullrequest'],
    ['scope', ['repository', 'pullrequest']],
    ['scope', false],
    ['origins', ['https://two.example', 'https://three.example:8443/', 'http://localhost:3000']],
    ['workspaces', ['acme', 'acme_2.x-y', '{12345678-1234-4123-8123-123456789abc}']],
  ])('%s may be %j', (name, value) => {
    connect({ [name]: value })
  })

  test.each([
    ['scope', true],
    ['scope', 7],
    ['scope', [7]],
    ['scope', 'a"b'],
    ['scope', ['a\\b']],
    ['scope', 'é'],
    ['applications', 'web'],
    ['applications', ['']],
    ['origins', 'https://two.example'],
    ['origins', ['two.example']],
    ['origins', ['http://two.example']],
    ['origins', ['https://two.example/path']],
    ['origins', ['https://two.example?x']],
    ['origins', ['https://two.example#x']],
    ['origins', ['https://user@two.example']],
    ['origins', ['https://*.example']],
    ['origins', ['*']],
    ['workspaces', 'acme'],
    ['workspaces', ['']],
    ['workspaces', ['a/b']],
    ['workspaces', ['../x']],
    ['workspaces', ['a b']],
    ['workspaces', ['{acme}']],
  ])('%s is refused as %j', (name, value) => {
    expect(refusal(() => connect({ [name]: value }))).toContain(`\`${name}`)
  })
})

test('case 26: refuses `applications` of a fixed connection, because no request would be offered it', () => {
  expect(refusal(() => connect({ applications: ['web'] }))).toContain('`applications` hides a fixed connection')
  connect({ applications: ['web'], application: 'web' })
})

describe('other options', () => {
  test.each([
    ['connection', 'https://bitbucket.org'],
    ['connection', null],
    ['accounts', null],
    ['accounts', 'hooks'],
    ['passport', {}],
    ['sendEmailCode', 'mail'],
    ['policy', { untrustedEmail: 'maybe' }],
    ['policy', { missingEmail: 'maybe' }],
    ['policy', { matchingAccount: 'maybe' }],
    ['policy', { codeOpensAccount: 'true' }],
    ['policy', { localAddresses: true }],
    ['policy', { identitiesPerUser: 2 }],
    ['userId', 'id'],
    ['signedInAt', new Date()],
    ['session', { keep: 'cart' }],
    ['session', { keep: ['passport'] }],
    ['session', { keep: ['cookie'] }],
    ['session', { keep: ['__proto__'] }],
    ['session', { keep: ['constructor'] }],
    ['paths', { signedIn: 'https://app.example/' }],
    ['paths', { signedIn: '//evil.example' }],
    ['paths', { signIn: '/\\evil.example' }],
    ['paths', { failed: 'login' }],
    ['paths', { failed: '/login?x' }],
    ['basePath', 'auth'],
    ['basePath', '//evil.example'],
    ['name', ''],
    ['name', 'Bitbucket'],
    ['name', 'a b'],
    ['name', 'a=b'],
    ['name', '1a'],
    ['name', 'a'.repeat(33)],
    ['limiter', 'redis'],
    ['limiter', {}],
    ['renderPage', 'page'],
    ['texts', 'de'],
    ['hiddenFields', {}],
    ['onEvent', {}],
    ['onError', 'log'],
    ['http', { timeoutMs: 0 }],
    ['http', { timeoutMs: 99 }],
    ['http', { timeoutMs: 60_001 }],
    ['http', { timeoutMs: 1.5 }],
    ['http', { timeoutMs: '1000' }],
    ['http', { preconnect: 'false' }],
    ['http', { agent: 'agent' }],
  ])('%s is refused as %j', (name, value) => {
    const message = refusal(() => construct({ [name]: value }))
    expect(message).toMatch(new RegExp(`^bitbucketSignIn: \`${name}|^connection`))
    expect(message).toMatch(/\.$/)
  })

  test('accepts methods of a class as hooks', () => {
    class Accounts {
      getUserByIdentity(): null {
        return null
      }
      getAccountsByEmail(): [] {
        return []
      }
      createUser(): User {
        return { id: 'u1' }
      }
      linkIdentity(): void {}
      somethingElse(): void {}
    }
    construct({ accounts: new Accounts() })
  })

  test('refuses missing options like invalid ones', () => {
    for (const nothing of [undefined, null, 'options', []]) {
      expect(refusal(() => bitbucketSignIn(nothing as never))).toContain('bitbucketSignIn')
    }
  })
})

describe('missing hooks', () => {
  test('cause one warning with their names and consequences', () => {
    construct({})
    expect(process.emitWarning).toHaveBeenCalledTimes(1)
    expect(process.emitWarning).toHaveBeenCalledWith(
      expect.stringMatching(/listIdentities and describeUser.*account_exists/),
      'BitbucketSignInWarning',
    )
  })

  test('cause no warning if they are set', () => {
    const describeUser = () => ({ label: 'x', email: null, emailVerified: false })
    construct({ accounts: { ...HOOKS, listIdentities: () => [], describeUser } })
    expect(process.emitWarning).not.toHaveBeenCalled()
  })
})

describe('a router at the root', () => {
  const described = {
    accounts: {
      ...HOOKS,
      listIdentities: () => [],
      describeUser: () => ({ label: 'x', email: null, emailVerified: false }),
    },
  }
  const atRoot = { ...described, connection: { ...CONNECTION, callbackURL: 'https://app.example/callback' } }

  test.each([
    ['by its callback', atRoot],
    ['by its base path', { ...atRoot, basePath: '/' }],
    ['with the landing page spelt out', { ...atRoot, paths: { signedIn: '/' } }],
  ])('causes a warning when it ends sign-ins where it starts them: %s', (_how, options) => {
    construct(options)
    expect(process.emitWarning).toHaveBeenCalledTimes(1)
    expect(process.emitWarning).toHaveBeenCalledWith(
      expect.stringContaining('paths.signedIn'),
      'BitbucketSignInWarning',
    )
  })

  test('causes no warning with its own landing page, nor does a router elsewhere', () => {
    construct({ ...atRoot, paths: { signedIn: '/home' } })
    construct(described)
    expect(process.emitWarning).not.toHaveBeenCalled()
  })
})
