import { describe, expect, test } from 'vitest'
import type { Connection } from '../../src/contract/options'
import {
  type ConnectionOverride,
  definedFields,
  isAdmitted,
  mergeLevels,
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

/** What `connections()` makes of two levels. */
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
  test('a tenant that says nothing inherits everything, under a name of its own', () => {
    expect(effective({})).toEqual({ ...BASE, id: 'tenant:t1', tenant: 't1', application: null })
  })

  test('the application level keeps its name, or is called default', () => {
    const key = { tenant: null, application: null }
    expect(effectiveConnection(BASE, null, key)).toEqual({
      connection: { ...BASE, id: 'default', tenant: null, application: null },
    })
    expect(effectiveConnection({ ...BASE, id: 'main' }, null, key)).toMatchObject({ connection: { id: 'main' } })
  })

  test('a tenant never takes the name of the application level', () => {
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
  ] as const)('a tenant overrides %s and inherits the rest', (field, value) => {
    expect(effective({ [field]: value })).toEqual({
      ...BASE,
      [field]: value,
      id: 'tenant:t1',
      tenant: 't1',
      application: null,
    })
  })

  test.each([undefined, null])('a column that is %s counts as left out', (value) => {
    const row = { trustedProvider: value, callbackURL: value, endpoints: value } as unknown as ConnectionOverride
    expect(effective(row)).toMatchObject({ trustedProvider: true, callbackURL: BASE.callbackURL })
    expect(effective(row)).not.toHaveProperty('endpoints')
  })

  test('a tenant cannot choose its name, tenant or application', () => {
    const override = { id: 'default', tenant: 't2', application: 'a2' } as unknown as ConnectionOverride
    expect(effective(override)).toMatchObject({ id: 'tenant:t1', tenant: 't1', application: null })
  })

  test('neither the application level nor the override is changed', () => {
    const base = Object.freeze({ ...BASE })
    const override = Object.freeze({ ...CREDENTIALS, endpoints: ENDPOINTS })
    expect(() => effective(override, base)).not.toThrow()
  })
})

const CREDENTIALS = { clientID: 't1-key', clientSecret: 't1-secret' }

describe('credentials come together', () => {
  test('own ones replace those of the application level', () => {
    expect(effective(CREDENTIALS)).toMatchObject(CREDENTIALS)
  })

  test.each(['clientID', 'clientSecret'] as const)('%s alone is no credential', (name) => {
    expect(effectiveConnection(BASE, { [name]: 'x' }, KEY)).toEqual({ unavailable: 'no-credentials' })
  })

  test.each(['clientID', 'clientSecret'] as const)('an empty %s is no credential', (name) => {
    expect(effectiveConnection(BASE, { ...CREDENTIALS, [name]: '' }, KEY)).toEqual({ unavailable: 'no-credentials' })
  })

  test('without an application level a tenant brings everything itself', () => {
    expect(effectiveConnection(null, CREDENTIALS, KEY)).toEqual({ unavailable: 'no-credentials' })
    expect(effectiveConnection(null, null, KEY)).toEqual({ unavailable: 'no-credentials' })
    expect(effectiveConnection(null, null, { tenant: null, application: null })).toEqual({
      unavailable: 'no-credentials',
    })
    const override = { ...CREDENTIALS, callbackURL: BASE.callbackURL }
    expect(effective(override, null)).toEqual({ ...override, id: 'tenant:t1', tenant: 't1', application: null })
  })
})

describe('own endpoints', () => {
  test('do not inherit the credentials: a tenant’s server would collect them', () => {
    expect(effectiveConnection(BASE, { endpoints: ENDPOINTS }, KEY)).toEqual({ unavailable: 'no-credentials' })
  })

  test('do not inherit the trust: a tenant’s server would vouch for addresses', () => {
    expect(effective({ ...CREDENTIALS, endpoints: ENDPOINTS })).not.toHaveProperty('trustedProvider')
  })

  test('may be trusted where the tenant’s own entry says so', () => {
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
  test('a tenant may switch off what the application level offers, and on what it does not', () => {
    expect(effectiveConnection(BASE, { enabled: false }, KEY)).toEqual({ unavailable: 'disabled' })
    expect(effective({ enabled: true }, { ...BASE, enabled: false }).enabled).toBe(true)
  })

  test('a connection that is switched off is off for its tenants', () => {
    expect(effectiveConnection({ ...BASE, enabled: false }, {}, KEY)).toEqual({ unavailable: 'disabled' })
  })

  test('applications that are not on the list are not offered it', () => {
    const base = { ...BASE, applications: ['web', 'admin'] }
    const as = (application: string | null) => effectiveConnection(base, {}, { tenant: 't1', application })
    expect(as('web')).toMatchObject({ connection: { application: 'web' } })
    expect(as('admin')).toMatchObject({ connection: { application: 'admin' } })
    for (const other of ['mobile', 'WEB', 'web ', '', null]) {
      expect(as(other)).toEqual({ unavailable: 'application-not-allowed' })
    }
  })

  test('an empty list lets no application in, no list lets all', () => {
    expect(unavailability({ ...BASE, applications: [], application: 'web' })).toBe('application-not-allowed')
    expect(unavailability({ ...BASE, application: 'web' })).toBeNull()
    expect(unavailability(BASE)).toBeNull()
    expect(unavailability({ ...BASE, applications: ['web'] })).toBe('application-not-allowed')
  })

  test('switched off is said before anything about applications', () => {
    expect(unavailability({ ...BASE, enabled: false, applications: [] })).toBe('disabled')
  })
})

test.each([undefined, null])('a column of the application level that is %s counts as left out too', (value) => {
  const base = { ...BASE, trustedProvider: value, workspaces: value } as unknown as Connection
  expect(effective({}, base)).not.toHaveProperty('trustedProvider')
  expect(effective({}, base)).not.toHaveProperty('workspaces')
  expect(definedFields({ clientID: value, visible: false } as unknown as ConnectionOverride)).toEqual({
    visible: false,
  })
})

test('mergeLevels gives the whole connection, offered or not', () => {
  expect(mergeLevels({ ...BASE, enabled: false }, {}, KEY)).toMatchObject({ enabled: false, id: 'tenant:t1' })
  expect(mergeLevels(BASE, { clientID: 'x' }, KEY)).toBeNull()
  expect(mergeLevels({ ...BASE, callbackURL: '' }, {}, KEY)).toBeNull()
  expect(mergeLevels(null, null, { tenant: null, application: null })).toBeNull()
})

describe('isAdmitted', () => {
  const acme = { slug: 'acme', uuid: '{00000000-1234-4123-8123-123456789abc}' }
  const other = { slug: 'other', uuid: '{11111111-1234-4123-8123-123456789abc}' }

  test('without a list of workspaces everybody is', () => {
    expect(isAdmitted([], [])).toBe(true)
    expect(isAdmitted([], [acme])).toBe(true)
  })

  test('with one, a member of any of them is, by slug or by uuid', () => {
    expect(isAdmitted(['acme'], [acme])).toBe(true)
    expect(isAdmitted([acme.uuid], [acme])).toBe(true)
    expect(isAdmitted(['x', 'acme'], [other, acme])).toBe(true)
  })

  test('no other user is', () => {
    expect(isAdmitted(['acme'], [])).toBe(false)
    expect(isAdmitted(['acme'], [other])).toBe(false)
    expect(isAdmitted(['ACME'], [acme])).toBe(false)
    expect(isAdmitted(['acm'], [acme])).toBe(false)
  })
})
