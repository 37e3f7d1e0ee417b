/**
 * The part of a response that may be recorded: shapes, lengths, statuses, header names and the words of the protocol.
 * Nothing is redacted afterwards: anything that is not on one of these lists is never copied.
 */

/** The shape of a JSON value: `string(43)`, `number`, `array(2) of …`, or an object by key. */
export type Shape = string | { readonly [key: string]: Shape }

/** Keys documented by Bitbucket or OAuth. Other keys are counted but not written: they could be names. */
const KNOWN_KEYS: ReadonlySet<string> = new Set(
  `access_token account_id account_status announcement_url api_requested_status avatar created_on data detail display_name
  email error error_description error_uri expires_in fields granted has_2fa_enabled hooks href html id id_token is_confirmed
  is_primary is_staff links location message next nickname page pagelen previous refresh_expires_in refresh_token
  repositories required scope scopes self size snippets state sub token_type type username uuid values website zoneinfo`.split(
    /\s+/,
  ),
)

/** Words of the protocol whose value is not secret, and which decide how a client must behave. */
const PLAIN_WORDS: ReadonlySet<string> = new Set(
  `user team app_user email error bearer Bearer active authorization_code refresh_token client_credentials`.split(
    /\s+/,
  ),
)

export function shapeOf(value: unknown, depth = 0): Shape {
  if (value === null) return 'null'
  if (typeof value === 'string') return PLAIN_WORDS.has(value) ? `'${value}'` : `string(${value.length})`
  if (typeof value !== 'object') return typeof value
  if (depth > 6) return 'deep'
  if (Array.isArray(value)) return arrayShape(value, depth)
  const shape: Record<string, Shape> = {}
  let others = 0
  for (const [key, each] of Object.entries(value)) {
    if (KNOWN_KEYS.has(key)) shape[key] = shapeOf(each, depth + 1)
    else others += 1
  }
  return others === 0 ? shape : { ...shape, '(other keys)': `${others}` }
}

function arrayShape(values: readonly unknown[], depth: number): Shape {
  const [first] = values
  return first === undefined ? 'array(0)' : { [`array(${values.length}) of`]: shapeOf(first, depth + 1) }
}

const ERROR_CODE = /^[a-z_]{3,40}$/

/** An error code of OAuth; `null` for anything else. */
export function errorCode(value: unknown): string | null {
  return typeof value === 'string' && ERROR_CODE.test(value) ? value : null
}

/** Words of OAuth error descriptions. Others become `…`, because a description could quote a name or a token. */
const TEXT_WORDS: ReadonlySet<string> = new Set(
  `a access account already an and app application are as at authenticated authentication authorization authorize
  authorized bad be been beyond body by call callback can cannot challenge client client_id client_secret code
  code_challenge code_verifier consumer consumers could credentials defined denied did does error exceeded exist expired
  failed for found from grant grant_type has header id in incorrect invalid is it key malformed match matching mismatch
  missing must no none not oauth oauth2 of on one or own parameter pkce please provided public redirect redirect_uri
  refresh refresh_token registered request requested requests required resource response_type revoked s scope scopes
  secret server specified supplied supported team temporarily than that the these this to token try unauthorized unknown
  unsupported uri url use used user using valid value verifier was were when with wrong you your`.split(/\s+/),
)

/** A description with every word replaced that is not a protocol term; `null` if there is none. */
export function plainText(value: unknown): string | null {
  if (typeof value !== 'string' || value === '') return null
  return value.slice(0, 200).replace(/[^\s.,:;'"()]+/g, (word) => (TEXT_WORDS.has(word.toLowerCase()) ? word : '…'))
}

/** Scopes in their documented form, sorted; `null` if the value is anything else. */
export function scopeWords(value: unknown): string | null {
  if (typeof value !== 'string') return null
  const words = value.split(/[\s,]+/).filter((word) => word !== '')
  return words.map((word) => (SCOPES.has(word.replace(/:.*/, '')) ? word : '…')).join(' ')
}

const SCOPES: ReadonlySet<string> = new Set(
  'account email team repository project pullrequest issue wiki webhook snippet pipeline runner test dummy'.split(' '),
)

/** A header value that is one word of the protocol, such as `oauth2`; `null` if absent or anything else. */
export function headerWord(value: string | null): string | null {
  return value !== null && /^[a-z][a-z0-9_]{1,29}$/.test(value) ? value : value === null ? null : '…'
}
