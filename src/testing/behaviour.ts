import { refuseUnknownKeys, suggestion } from './check'

/**
 * Where Bitbucket's behaviour is contradictory, has changed or may change: each switch chooses one way. The defaults
 * are what Bitbucket most probably does today; the other values are there to prove that an app survives them.
 */
export interface FakeBehaviour {
  /** How `redirect_uri` is compared. `exact` (default): byte for byte, only the port of http loopback is free. `prefix`: an appended path passes, as documented for years. */
  readonly redirectUri?: 'exact' | 'prefix'
  /** `honour` (default): the `scope` parameter narrows, and asking beyond the client ends in `invalid_scope`. `ignore`: always all of the client's. */
  readonly scopeParameter?: 'honour' | 'ignore'
  /** `ignore` (default): a challenge is accepted and never checked. `enforce`: as RFC 7636 says. */
  readonly pkce?: 'ignore' | 'enforce'
  /** Where the token endpoint takes client credentials from. Default `basic-or-body`. */
  readonly clientAuthentication?: 'basic-or-body' | 'basic-only'
  /** Fields of the token answer. `scope` (default), or `scopes` together with `state`, as before May 2026. */
  readonly tokenFields?: 'scope' | 'scopes'
  /** `long` (default): more than 2500 characters per token, which overflows a cookie. `short`: 43. */
  readonly tokenLength?: 'long' | 'short'
  /** Lifetime of an access token in seconds. Default 7200. */
  readonly accessTokenSeconds?: number
  /** Lifetime of an authorization code in seconds. Default 300; Bitbucket's is not known. */
  readonly codeSeconds?: number
  /** How long a used refresh token still works, in seconds. Default 600. */
  readonly refreshGraceSeconds?: number
  /** What a dead refresh token is told, with status 400. Default `unauthorized_client`. */
  readonly deadRefreshToken?: 'unauthorized_client' | 'invalid_grant'
  /** What wrong client credentials are told: `unauthorized_client` with status 400 (default), `invalid_client` with 401. */
  readonly wrongClient?: 'unauthorized_client' | 'invalid_client'
  /** `strict` (default): only the header, only `Bearer` with a capital B. `lenient`: any case, and the query too. */
  readonly bearer?: 'strict' | 'lenient'
  /** Whether the `account` scope opens `/2.0/user/emails` without `email`. Default `true`. */
  readonly accountGivesEmails?: boolean
  /** Whether a link of `/2.0/user` is one object (default) or a list of them; both are documented. */
  readonly links?: 'object' | 'array'
  /** `none` (default): OAuth clients get no rate-limit headers. `anonymous`: those that anonymous callers get. */
  readonly rateHeaders?: 'none' | 'anonymous'
  /**
   * Whether a browser that has allowed a client is sent straight back the next time, as Bitbucket does. Default
   * `false`: the consent page each time, so that a demo can change persons.
   */
  readonly rememberConsent?: boolean
}

const DEFAULTS: Required<FakeBehaviour> = {
  redirectUri: 'exact',
  scopeParameter: 'honour',
  pkce: 'ignore',
  clientAuthentication: 'basic-or-body',
  tokenFields: 'scope',
  tokenLength: 'long',
  accessTokenSeconds: 7200,
  codeSeconds: 300,
  refreshGraceSeconds: 600,
  deadRefreshToken: 'unauthorized_client',
  wrongClient: 'unauthorized_client',
  bearer: 'strict',
  accountGivesEmails: true,
  links: 'object',
  rateHeaders: 'none',
  rememberConsent: false,
}

/** The words each worded switch knows, the default first. */
const WORDS: Partial<Record<keyof FakeBehaviour, readonly string[]>> = {
  redirectUri: ['exact', 'prefix'],
  scopeParameter: ['honour', 'ignore'],
  pkce: ['ignore', 'enforce'],
  clientAuthentication: ['basic-or-body', 'basic-only'],
  tokenFields: ['scope', 'scopes'],
  tokenLength: ['long', 'short'],
  deadRefreshToken: ['unauthorized_client', 'invalid_grant'],
  wrongClient: ['unauthorized_client', 'invalid_client'],
  bearer: ['strict', 'lenient'],
  links: ['object', 'array'],
  rateHeaders: ['none', 'anonymous'],
}

/** Lays switches over others (or over the defaults) and refuses what none of them knows. */
export function withBehaviour(
  changes: FakeBehaviour,
  base: Required<FakeBehaviour> = DEFAULTS,
): Required<FakeBehaviour> {
  refuseUnknownKeys('behaviour', changes, Object.keys(DEFAULTS))
  for (const [name, value] of Object.entries(changes)) checkSwitch(name as keyof FakeBehaviour, value)
  return { ...base, ...changes }
}

function checkSwitch(name: keyof FakeBehaviour, value: unknown): void {
  const words = WORDS[name]
  if (words && !words.includes(String(value))) {
    throw new TypeError(`behaviour.${name} cannot be "${value}". ${suggestion(String(value), words)}`)
  }
  if (!words && typeof value !== typeof DEFAULTS[name]) {
    throw new TypeError(`behaviour.${name} must be a ${typeof DEFAULTS[name]}.`)
  }
}
