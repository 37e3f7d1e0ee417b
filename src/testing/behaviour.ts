import { refuseUnknownKeys, suggestion } from './check'

/** A refusal of the token endpoint, word for word. `description: null` leaves the field out. */
export interface FakeRefusal {
  /** HTTP status. */
  readonly status: number
  /** OAuth error code. */
  readonly error: string
  /** `error_description`, `null` to omit it. */
  readonly description: string | null
}

/**
 * One switch for each fact about Bitbucket that is contradictory, has changed or may change. The defaults are what
 * Bitbucket most likely does today; the other values prove that an app survives them.
 */
export interface FakeBehaviour {
  /** How `redirect_uri` is compared. `exact` (default): byte for byte, only the port of http loopback is free. `prefix`: an appended path passes, as documented for years. */
  readonly redirectUri?: 'exact' | 'prefix'
  /** An authorize request without `redirect_uri`: `registered` (default) uses the registered callback, `refused` shows the error page. */
  readonly missingRedirectUri?: 'registered' | 'refused'
  /** `honour` (default): the `scope` parameter narrows, and asking beyond the client ends in `invalid_scope`. `ignore`: always all of the client's. */
  readonly scopeParameter?: 'honour' | 'ignore'
  /**
   * `error_description` of a denial: `denied` (default) "The user denied access", `platform` "User did not authorize the
   * request", `none` no description, or your own text.
   */
  readonly denial?: 'denied' | 'platform' | 'none' | { readonly description: string | null }
  /** Whether a redirect with an `error` carries `state`. Default `true`. */
  readonly stateInErrors?: boolean
  /** Whether a denial is remembered: the next try comes back `access_denied` without a consent page. `reset()` and signing out of the fake forget it. Default `false`. */
  readonly rememberDenial?: boolean
  /** Whether a browser that has allowed a client is sent straight back the next time, as Bitbucket does. Default `false`: the consent page each time, so that a demo can change users. */
  readonly rememberConsent?: boolean
  /** `ignore` (default): a challenge is accepted and never checked. `enforce`: as RFC 7636 says. */
  readonly pkce?: 'ignore' | 'enforce'
  /** Where the token endpoint accepts client credentials from. Default `basic-or-body`. */
  readonly clientAuthentication?: 'basic-or-body' | 'basic-only'
  /** Reply to wrong client credentials: `unauthorized_client` with status 400 (default), `invalid_client` with 401. */
  readonly wrongClient?: 'unauthorized_client' | 'invalid_client' | FakeRefusal
  /** Reply to a used, expired or unknown code: `invalid_grant` with status 400 (default), or `forbidden`: the same error with 403. */
  readonly usedCode?: 'invalid_grant' | 'forbidden' | FakeRefusal
  /** Lifetime of an authorization code in seconds. Default 300; Bitbucket's is not known. */
  readonly codeSeconds?: number
  /** Fields of the token answer: `scope` (default), `scopes` with `state` as before May 2026, `both`, or `none`. */
  readonly tokenFields?: 'scope' | 'scopes' | 'both' | 'none'
  /** Characters per token. `long` (default): more than 2500, which overflows a cookie. `short`: 43. */
  readonly tokenLength?: 'long' | 'short' | number
  /** Lifetime of an access token in seconds. Default 7200. */
  readonly accessTokenSeconds?: number
  /** How long a used refresh token still works, in seconds. Default 600. */
  readonly refreshGraceSeconds?: number
  /** A used refresh token that returns after its grace: `dead` (default), or `revokes-family`: all that descends from the same consent is revoked. */
  readonly refreshReuse?: 'dead' | 'revokes-family'
  /** Days after the consent at which its refresh tokens end, however often they are used. Default `Infinity`. */
  readonly refreshLifetimeDays?: number
  /** Reply to a dead refresh token, with status 400. Default `unauthorized_client`. */
  readonly deadRefreshToken?: 'unauthorized_client' | 'invalid_grant' | 'invalid_request' | FakeRefusal
  /** For how long a dead refresh token makes the client's valid ones get the same answer, in seconds. Default 0. */
  readonly refreshLockoutSeconds?: number
  /** `strict` (default): only the header, only `Bearer` with a capital B. `lenient`: any case, and the query too. */
  readonly bearer?: 'strict' | 'lenient'
  /** Whether the `account` scope opens `/2.0/user/emails` without `email`. Default `true`. */
  readonly accountGivesEmails?: boolean
  /** `own` (default): each person's addresses. `empty`: an empty list for everyone. */
  readonly emailList?: 'own' | 'empty'
  /** Whether a link of `/2.0/user` is one object (default) or an array of them; both are documented. */
  readonly links?: 'object' | 'array'
  /** Body of the problem `rate-limited`: `text` (default, as recorded), `json` or `empty`. None has `Retry-After`. */
  readonly rateLimit?: 'text' | 'json' | 'empty'
  /** `none` (default): OAuth clients get no rate-limit headers. `anonymous`: those that anonymous callers get. */
  readonly rateHeaders?: 'none' | 'anonymous'
}

/** A coherent set of switches. */
export type FakeProfile = 'bitbucket' | 'platform' | 'legacy'

/** All switches, set. */
export type Behaviour = Required<FakeBehaviour>

/** What Bitbucket most likely does today. */
const BITBUCKET: Behaviour = {
  redirectUri: 'exact',
  missingRedirectUri: 'registered',
  scopeParameter: 'honour',
  denial: 'denied',
  stateInErrors: true,
  rememberDenial: false,
  rememberConsent: false,
  pkce: 'ignore',
  clientAuthentication: 'basic-or-body',
  wrongClient: 'unauthorized_client',
  usedCode: 'invalid_grant',
  codeSeconds: 300,
  tokenFields: 'scope',
  tokenLength: 'long',
  accessTokenSeconds: 7200,
  refreshGraceSeconds: 600,
  refreshReuse: 'dead',
  refreshLifetimeDays: Number.POSITIVE_INFINITY,
  deadRefreshToken: 'unauthorized_client',
  refreshLockoutSeconds: 0,
  bearer: 'strict',
  accountGivesEmails: true,
  emailList: 'own',
  links: 'object',
  rateLimit: 'text',
  rateHeaders: 'none',
}

const PROFILES: Readonly<Record<FakeProfile, Behaviour>> = {
  bitbucket: BITBUCKET,
  // What follows if new OAuth clients are clients of Atlassian's platform behind addresses of bitbucket.org.
  platform: {
    ...BITBUCKET,
    missingRedirectUri: 'refused',
    denial: 'platform',
    rememberDenial: true,
    pkce: 'enforce',
    wrongClient: 'invalid_client',
    usedCode: 'forbidden',
    accessTokenSeconds: 3600,
    refreshReuse: 'revokes-family',
    refreshLifetimeDays: 365,
    refreshLockoutSeconds: 60,
    accountGivesEmails: false,
  },
  // What consumers registered before May 2026 got.
  legacy: {
    ...BITBUCKET,
    redirectUri: 'prefix',
    denial: 'none',
    tokenFields: 'scopes',
    tokenLength: 'short',
    deadRefreshToken: 'invalid_request',
    bearer: 'lenient',
    links: 'array',
    rateLimit: 'json',
  },
}

/** The switches of a profile; refuses an unknown one. */
export function profileNamed(name: FakeProfile = 'bitbucket'): Behaviour {
  const known = Object.keys(PROFILES)
  if (known.includes(name)) return PROFILES[name]
  throw new TypeError(`There is no profile "${name}". ${suggestion(String(name), known)}`)
}

/** The values of each switch that has a fixed set of them, the default first. A pairwise cover runs over these. */
export const SWITCH_VALUES = {
  redirectUri: ['exact', 'prefix'],
  missingRedirectUri: ['registered', 'refused'],
  scopeParameter: ['honour', 'ignore'],
  denial: ['denied', 'platform', 'none'],
  stateInErrors: [true, false],
  rememberDenial: [false, true],
  rememberConsent: [false, true],
  pkce: ['ignore', 'enforce'],
  clientAuthentication: ['basic-or-body', 'basic-only'],
  wrongClient: ['unauthorized_client', 'invalid_client'],
  usedCode: ['invalid_grant', 'forbidden'],
  tokenFields: ['scope', 'scopes', 'both', 'none'],
  tokenLength: ['long', 'short'],
  refreshReuse: ['dead', 'revokes-family'],
  deadRefreshToken: ['unauthorized_client', 'invalid_grant', 'invalid_request'],
  bearer: ['strict', 'lenient'],
  accountGivesEmails: [true, false],
  emailList: ['own', 'empty'],
  links: ['object', 'array'],
  rateLimit: ['text', 'json', 'empty'],
  rateHeaders: ['none', 'anonymous'],
} as const satisfies { readonly [Name in keyof FakeBehaviour]?: readonly unknown[] }

/** Switches that also take an object or a number instead of one of their words. */
const OWN_VALUES: Readonly<Record<string, string>> = {
  denial: 'object',
  wrongClient: 'object',
  usedCode: 'object',
  deadRefreshToken: 'object',
  tokenLength: 'number',
}

/** Lays switches over others and refuses what none of them knows. */
export function withBehaviour(changes: FakeBehaviour, base: Behaviour): Behaviour {
  refuseUnknownKeys('behaviour', changes, Object.keys(BITBUCKET))
  for (const [name, value] of Object.entries(changes)) checkSwitch(name as keyof FakeBehaviour, value)
  return { ...base, ...changes }
}

function checkSwitch(name: keyof FakeBehaviour, value: unknown): void {
  const known: readonly unknown[] = (SWITCH_VALUES as Partial<Record<string, readonly unknown[]>>)[name] ?? []
  if (known.includes(value) || (value !== null && typeof value === OWN_VALUES[name])) return
  if (known.length === 0 && typeof value === typeof BITBUCKET[name]) return
  if (typeof known[0] !== 'string') {
    throw new TypeError(`behaviour.${name} must be a ${typeof BITBUCKET[name]}.`)
  }
  throw new TypeError(`behaviour.${name} cannot be "${value}". ${suggestion(String(value), known.map(String))}`)
}
