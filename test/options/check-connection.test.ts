import { checkConnection } from 'passport-bitbucket-signin'
import { describe, expect, test } from 'vitest'

const FIELDS = {
  clientID: 'key',
  clientSecret: 'client-secret',
  callbackURL: 'https://app.example/auth/bitbucket/callback',
}
const problemsOf = (fields: object, options?: object) => {
  const checked = checkConnection({ ...FIELDS, ...fields }, options as never)
  return checked.ok ? [] : checked.problems
}

test('returns the fields that were filled in', () => {
  expect(checkConnection({ ...FIELDS, workspaces: null, scope: undefined })).toEqual({ ok: true, connection: FIELDS })
})

test('reports each field once, with a sentence for an operator', () => {
  expect(
    problemsOf({
      clientSecret: 'secret ',
      callbackURL: 'http://app.example/callback',
      workspaces: ['acme', 'https://bitbucket.org/acme', 'a b'],
      enabled: 'yes',
      endpoints: { authorizationURL: 'x', tokenURL: 'https://a.example', apiURL: 'https://a.example' },
      redirectUri: 'x',
    }),
  ).toEqual([
    { field: 'clientSecret', message: 'Begins or ends with a space or line break. Remove it.' },
    {
      field: 'callbackURL',
      message:
        'Must be https; plain http is for loopback only (localhost, 127.0.0.1). Register an https URL at Bitbucket, or map the port to localhost for development.',
    },
    { field: 'enabled', message: 'Must be true or false, not a string.' },
    {
      field: 'workspaces',
      message: 'Entry 2 must be a workspace slug (`acme` of https://bitbucket.org/acme) or a uuid in braces.',
    },
    {
      field: 'endpoints',
      message: '`authorizationURL` must be an absolute URL such as https://gateway.example.com/2.0.',
    },
    { field: 'redirectUri', message: 'Unknown field `redirectUri`. Did you mean `callbackURL`?' },
  ])
})

test.each(['constructor', 'toString', 'hasOwnProperty', 'valueOf', '__proto__'])(
  'takes the unknown field %s for one without advice',
  (field) => {
    const fields = Object.defineProperty({ ...FIELDS }, field, { value: 'x', enumerable: true })
    const checked = checkConnection(fields)
    expect(!checked.ok && checked.problems).toEqual([{ field, message: `Unknown field \`${field}\`. Remove it.` }])
  },
)

test('refuses URLs that would be used in another form than they are written', () => {
  const endpoints = {
    authorizationURL: 'https://g.example/a',
    tokenURL: 'https://g.example/t',
    apiURL: 'https://g.example/2.0',
  }
  const messageOf = (fields: object) => problemsOf(fields).map(({ message }) => message)
  for (const end of ['?x=1', '?', '?#']) {
    const apiURL = endpoints.apiURL + end
    expect(messageOf({ endpoints: { ...endpoints, apiURL } })).toEqual(['`apiURL` must not have a query (`?…`).'])
    expect(messageOf({ callbackURL: FIELDS.callbackURL + end })).toEqual(['Must not have a query (`?…`).'])
  }
  expect(messageOf({ callbackURL: `${FIELDS.callbackURL}#` })).toEqual(['Must not have a fragment (`#…`).'])
  const padded = [{ callbackURL: `${FIELDS.callbackURL}\n` }, { origins: [' https://a.example'] }]
  for (const fields of [...padded, { endpoints: { ...endpoints, apiURL: `${endpoints.apiURL} ` } }]) {
    expect(messageOf(fields)).toEqual([expect.stringContaining('egins or ends with a space or line break. Remove it.')])
  }
  expect(problemsOf({ endpoints: { ...endpoints, tokenURL: 'https://g.example/t?x=1' } })).toEqual([])
})

test.each([null, undefined, 'fields', 7, []])('never throws: %j', (fields) => {
  const checked = checkConnection(fields)
  expect(checked.ok).toBe(false)
  expect(!checked.ok && checked.problems.map(({ field }) => field)).toEqual(['clientID', 'clientSecret', 'callbackURL'])
})

test('never repeats a secret', () => {
  expect(JSON.stringify(problemsOf({ clientSecret: ' my-secret', clientID: 7 }))).not.toContain('my-secret')
})

test('checks that the router receives the callback', () => {
  const callbackURL = 'https://app.example/auth/bitbucket/return'
  expect(problemsOf({ callbackURL })).toEqual([
    { field: 'callbackURL', message: expect.stringMatching(/^Must end in \/callback/) },
  ])
  expect(problemsOf({ callbackURL }, { basePath: '/auth/bitbucket' })).toEqual([])
  expect(problemsOf({}, { basePath: '/login' })).toEqual([
    { field: 'callbackURL', message: expect.stringMatching(/^Must have the path \/login\/callback, because/) },
  ])
})

describe("a tenant's override", () => {
  const at = (fields: object) => checkConnection(fields, { level: 'tenant' })

  test('may be empty', () => {
    expect(at({})).toEqual({ ok: true, connection: {} })
    expect(at({ enabled: false, clientID: null })).toEqual({ ok: true, connection: { enabled: false } })
  })

  test('needs both halves of its credentials', () => {
    const message = 'Set both `clientID` and `clientSecret`, or neither.'
    expect(at({ clientSecret: 's' })).toEqual({ ok: false, problems: [{ field: 'clientID', message }] })
    expect(at({ clientID: 'k' })).toEqual({ ok: false, problems: [{ field: 'clientSecret', message }] })
  })

  test('must not name its connection or itself', () => {
    for (const field of ['id', 'tenant', 'application']) {
      expect(at({ [field]: 'x' })).toMatchObject({ ok: false, problems: [{ field }] })
    }
  })

  test("cannot send the application's secret to its own server", () => {
    const endpoints = {
      authorizationURL: 'https://a.example',
      tokenURL: 'https://a.example',
      apiURL: 'https://a.example',
    }
    expect(at({ endpoints })).toMatchObject({ ok: false, problems: [{ field: 'endpoints' }] })
    const own = { endpoints, clientID: 'k', clientSecret: 's' }
    expect(checkConnection(own, { level: 'tenant', tenantClients: 'theirs' })).toMatchObject({ ok: true })
  })

  test('brings a client only if the app says who controls it', () => {
    const own = { clientID: 'k', clientSecret: 's' }
    expect(at(own)).toMatchObject({
      ok: false,
      problems: [{ field: 'clientID', message: expect.stringContaining('tenantClients') }],
    })
    for (const tenantClients of ['ours', 'theirs'] as const) {
      expect(checkConnection(own, { level: 'tenant', tenantClients })).toEqual({ ok: true, connection: own })
    }
  })

  test("points no endpoint of a client that is 'theirs' into a private network", () => {
    const inside = 'https://10.0.0.7/2.0'
    const endpoints = { authorizationURL: inside, tokenURL: inside, apiURL: inside, allowPrivateHosts: true }
    const own = { clientID: 'k', clientSecret: 's', endpoints }
    const check = (tenantClients: 'ours' | 'theirs', more = {}) =>
      checkConnection({ ...own, ...more }, { level: 'tenant', tenantClients })
    expect(check('theirs')).toMatchObject({
      ok: false,
      problems: [{ field: 'endpoints', message: expect.stringMatching(/^They point to/) }],
    })
    expect(check('ours').ok).toBe(true)
    // Its administrator writes the callback as well, so that proves no developer's machine.
    expect(check('theirs', { callbackURL: 'http://localhost:3000/auth/bitbucket/callback' }).ok).toBe(false)
  })
})
