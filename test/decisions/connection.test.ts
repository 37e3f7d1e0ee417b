import { describe, expect, test } from 'vitest'
import type { Connection } from '../../src/contract/options'
import {
  bringsOwnClient,
  type ConnectionOverride,
  decideIssuer,
  definedFields,
  isAdmitted,
  mergeLevels,
  tenantOfIssuer,
  unavailability,
} from '../../src/decisions/connection-levels'

const BASE: Connection = {
  clientID: 'app-key',
  clientSecret: 'app-secret',
  callbackURL: 'https://app.example/auth/bitbucket/callback',
  trustedProvider: true,
  signUp: false,
  visible: false,
  scope: 'repository',
  origins: ['https://two.example'],
  workspaces: ['acme'],
}
const ENDPOINTS = {
  authorizationURL: 'https://own.example/authorize',
  tokenURL: 'https://own.example/token',
  apiURL: 'https://own.example/2.0',
}
const KEY = { tenant: 't1', application: null }

/** The connection that `connections()` makes of two levels. */
function effectiveConnection(...levels: Parameters<typeof mergeLevels>) {
  const connection = mergeLevels(...levels)
  if (!connection) return { unavailable: 'no-credentials' }
  const unavailable = unavailability(connection)
  return unavailable ? { unavailable } : { connection }
}

function effective(override: ConnectionOverride | null, base: Connection | null = BASE, key = KEY): Connection {
  const found = effectiveConnection(base, override, key)
  if (!found.connection) throw new Error(`unavailable: ${found.unavailable}`)
  return found.connection
}

describe('inheritance', () => {
  test('gives everything to a tenant without fields, under its own name', () => {
    expect(effective({})).toEqual({ ...BASE, id: 'tenant:t1', tenant: 't1', application: null })
  })

  test('keeps the name of the application level, or calls it default', () => {
    const key = { tenant: null, application: null }
    expect(effectiveConnection(BASE, null, key)).toEqual({
      connection: { ...BASE, id: 'default', tenant: null, application: null },
    })
    expect(effectiveConnection({ ...BASE, id: 'main' }, null, key)).toMatchObject({ connection: { id: 'main' } })
  })

  test('never gives a tenant the name of the application level', () => {
    expect(effective({}, { ...BASE, id: 'main' }).id).toBe('tenant:t1')
  })

  test.each([
    ['callbackURL', 'https://t1.example/auth/bitbucket/callback'],
    ['trustedProvider', false],
    ['signUp', true],
    ['visible', true],
    ['scope', false],
    ['origins', []],
    ['workspaces', []],
  ] as const)('lets a tenant override %s and inherit the rest', (field, value) => {
    expect(effective({ [field]: value })).toEqual({
      ...BASE,
      [field]: value,
      id: 'tenant:t1',
      tenant: 't1',
      application: null,
    })
  })

  test.each([undefined, null])('treats a column that is %s as missing', (value) => {
    const row = { trustedProvider: value, callbackURL: value, endpoints: value } as unknown as ConnectionOverride
    expect(effective(row)).toMatchObject({ trustedProvider: true, callbackURL: BASE.callbackURL })
    expect(effective(row)).not.toHaveProperty('endpoints')
  })

  test('does not let a tenant choose its name, tenant or application', () => {
    const override = { id: 'default', tenant: 't2', application: 'a2' } as unknown as ConnectionOverride
    expect(effective(override)).toMatchObject({ id: 'tenant:t1', tenant: 't1', application: null })
  })

  test('changes neither the application level nor the override', () => {
    const base = Object.freeze({ ...BASE })
    const override = Object.freeze({ ...CREDENTIALS, endpoints: ENDPOINTS })
    expect(() => effective(override, base)).not.toThrow()
  })
})

const CREDENTIALS = { clientID: 't1-key', clientSecret: 't1-secret' }

describe('credentials', () => {
  test('replace those of the application level together', () => {
    expect(effective(CREDENTIALS)).toMatchObject(CREDENTIALS)
  })

  test.each(['clientID', 'clientSecret'] as const)('need more than %s', (name) => {
    expect(effectiveConnection(BASE, { [name]: 'x' }, KEY)).toEqual({ unavailable: 'no-credentials' })
  })

  test.each(['clientID', 'clientSecret'] as const)('need a %s that is not empty', (name) => {
    expect(effectiveConnection(BASE, { ...CREDENTIALS, [name]: '' }, KEY)).toEqual({ unavailable: 'no-credentials' })
  })

  test('come from the tenant alone without an application level', () => {
    expect(effectiveConnection(null, CREDENTIALS, KEY)).toEqual({ unavailable: 'no-credentials' })
    expect(effectiveConnection(null, null, KEY)).toEqual({ unavailable: 'no-credentials' })
    expect(effectiveConnection(null, null, { tenant: null, application: null })).toEqual({
      unavailable: 'no-credentials',
    })
    const override = { ...CREDENTIALS, callbackURL: BASE.callbackURL }
    expect(effective(override, null)).toEqual({ ...override, id: 'tenant:t1', tenant: 't1', application: null })
    expect(mergeLevels(null, override, { tenant: null, application: null })?.id).toBe('default')
  })

  test.each([
    [{}, true],
    [{ clientID: 'app-key', clientSecret: 'app-secret' }, true],
    [{ clientID: 't1-key', clientSecret: 'app-secret' }, undefined],
    [{ clientID: 'app-key', clientSecret: 't1-secret' }, undefined],
  ])('inherit the trust only if %j are those of the application level', (override, trusted) => {
    expect(effective(override).trustedProvider).toBe(trusted)
    expect(bringsOwnClient(BASE, override)).toBe(trusted === undefined)
    expect(bringsOwnClient(null, override)).toBe('clientID' in override)
  })
})

describe('own endpoints', () => {
  test("do not inherit the credentials, or a tenant's server would collect them", () => {
    expect(effectiveConnection(BASE, { endpoints: ENDPOINTS }, KEY)).toEqual({ unavailable: 'no-credentials' })
  })

  test("do not inherit the trust, or a tenant's server would vouch for addresses", () => {
    const { clientID, clientSecret } = BASE
    for (const credentials of [CREDENTIALS, { clientID, clientSecret }])
      expect(effective({ ...credentials, endpoints: ENDPOINTS })).not.toHaveProperty('trustedProvider')
  })

  test("may be trusted if the tenant's own entry says so", () => {
    const override = { ...CREDENTIALS, endpoints: ENDPOINTS, trustedProvider: true }
    expect(effective(override).trustedProvider).toBe(true)
  })

  test('inherit the rest', () => {
    expect(effective({ ...CREDENTIALS, endpoints: ENDPOINTS })).toMatchObject({
      callbackURL: BASE.callbackURL,
      signUp: false,
      workspaces: ['acme'],
      endpoints: ENDPOINTS,
    })
  })

  test('of the application level are inherited with its credentials and its trust', () => {
    expect(effective({}, { ...BASE, endpoints: ENDPOINTS })).toMatchObject({
      clientID: 'app-key',
      endpoints: ENDPOINTS,
      trustedProvider: true,
    })
  })
})

describe('availability', () => {
  test('can be switched by a tenant for what the application level offers, and for what it does not', () => {
    expect(effectiveConnection(BASE, { enabled: false }, KEY)).toEqual({ unavailable: 'disabled' })
    expect(effective({ enabled: true }, { ...BASE, enabled: false }).enabled).toBe(true)
  })

  test('ends for all tenants of a disabled connection', () => {
    expect(effectiveConnection({ ...BASE, enabled: false }, {}, KEY)).toEqual({ unavailable: 'disabled' })
  })

  test('excludes applications that are not on the list', () => {
    const base = { ...BASE, applications: ['web', 'admin'] }
    const as = (application: string | null) => effectiveConnection(base, {}, { tenant: 't1', application })
    expect(as('web')).toMatchObject({ connection: { application: 'web' } })
    expect(as('admin')).toMatchObject({ connection: { application: 'admin' } })
    for (const other of ['mobile', 'WEB', 'web ', '', null]) {
      expect(as(other)).toEqual({ unavailable: 'application-not-allowed' })
    }
  })

  test('excludes every application with an empty list, and none without a list', () => {
    expect(unavailability({ ...BASE, applications: [], application: 'web' })).toBe('application-not-allowed')
    expect(unavailability({ ...BASE, application: 'web' })).toBeNull()
    expect(unavailability(BASE)).toBeNull()
    expect(unavailability({ ...BASE, applications: ['web'] })).toBe('application-not-allowed')
  })

  test('reports a disabled connection before a missing application', () => {
    expect(unavailability({ ...BASE, enabled: false, applications: [] })).toBe('disabled')
  })
})

test.each([undefined, null])('treats a column of the application level that is %s as missing too', (value) => {
  const base = { ...BASE, trustedProvider: value, workspaces: value } as unknown as Connection
  expect(effective({}, base)).not.toHaveProperty('trustedProvider')
  expect(effective({}, base)).not.toHaveProperty('workspaces')
  expect(definedFields({ clientID: value, visible: false } as unknown as ConnectionOverride)).toEqual({
    visible: false,
  })
})

test('is ignored by mergeLevels, which returns the whole connection', () => {
  expect(mergeLevels({ ...BASE, enabled: false }, {}, KEY)).toMatchObject({ enabled: false, id: 'tenant:t1' })
  expect(mergeLevels(BASE, { clientID: 'x' }, KEY)).toBeNull()
  expect(mergeLevels({ ...BASE, callbackURL: '' }, {}, KEY)).toBeNull()
  expect(mergeLevels(null, null, { tenant: null, application: null })).toBeNull()
})

describe('the issuer of identities', () => {
  const SERVER = 'https://bitbucket.org'

  test.each([
    ['application', 't1', undefined, { issuer: SERVER }],
    ['own', 't1', 'ours', { issuer: SERVER }],
    ['own', 't1', undefined, { refused: 'not-answered' }],
    ['own', null, 'theirs', { refused: 'no-tenant' }],
    ['own', 'a/b#é', 'theirs', { issuer: `${SERVER}#tenant=a%2Fb%23%C3%A9` }],
  ] as const)('with the client of %s, tenant %j and owner %s is %j', (client, tenant, owner, decision) => {
    expect(decideIssuer(SERVER, client, tenant, owner)).toEqual(decision)
    if ('issuer' in decision)
      expect(tenantOfIssuer(decision.issuer)).toBe(client === 'own' && owner !== 'ours' ? tenant : null)
  })

  test('names no tenant that does not decode', () => {
    expect(tenantOfIssuer(`${SERVER}#tenant=%`)).toBeNull()
  })
})

describe('isAdmitted', () => {
  const acme = { slug: 'acme', uuid: '{00000000-1234-4123-8123-123456789abc}' }
  const other = { slug: 'other', uuid: '{11111111-1234-4123-8123-123456789abc}' }

  test('admits everybody without a list of workspaces', () => {
    expect(isAdmitted([], [])).toBe(true)
    expect(isAdmitted([], [acme])).toBe(true)
  })

  test('admits a member of any listed workspace, by slug or by uuid', () => {
    expect(isAdmitted(['acme'], [acme])).toBe(true)
    expect(isAdmitted([acme.uuid], [acme])).toBe(true)
    expect(isAdmitted(['x', 'acme'], [other, acme])).toBe(true)
  })

  test('refuses other users', () => {
    expect(isAdmitted(['acme'], [])).toBe(false)
    expect(isAdmitted(['acme'], [other])).toBe(false)
    expect(isAdmitted(['ACME'], [acme])).toBe(false)
    expect(isAdmitted(['acm'], [acme])).toBe(false)
  })
})
