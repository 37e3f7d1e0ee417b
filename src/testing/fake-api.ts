import { type Answer, type FakeRequest, jsonAnswer } from './answer'
import { type ApiCall, personOf } from './api-call'
import type { Grant } from './grants'
import { membershipOf, membersOf, workspaceAccess, workspaceAnswer } from './memberships'
import { paginate } from './pagination'
import { derivedUuid, type FakePerson } from './people'
import { expiredToken, invalidToken, methodNotAllowed, missingScope, notFound, removedEndpoint } from './refusals'
import type { World } from './world'

interface ApiEndpoint {
  readonly pattern: RegExp
  /** One of these is needed; empty = any token. The first is the one that a refusal names. */
  readonly scopes: (world: World) => readonly string[]
  readonly answer: (call: ApiCall) => Answer
}

const ACCOUNT = () => ['account']

const ENDPOINTS: readonly ApiEndpoint[] = [
  { pattern: /^\/user$/, scopes: ACCOUNT, answer: answerUser },
  { pattern: /^\/user\/emails$/, scopes: emailScopes, answer: answerEmails },
  { pattern: /^\/user\/emails\/([^/]+)$/, scopes: emailScopes, answer: answerEmail },
  { pattern: /^\/user\/workspaces$/, scopes: ACCOUNT, answer: workspaceAccess },
  { pattern: /^\/user\/workspaces\/([^/]+)\/permission$/, scopes: ACCOUNT, answer: membershipOf },
  { pattern: /^\/workspaces\/([^/]+)$/, scopes: () => [], answer: workspaceAnswer },
  { pattern: /^\/workspaces\/([^/]+)\/permissions$/, scopes: ACCOUNT, answer: membersOf },
  { pattern: /^\/workspaces\/([^/]+)\/members\/([^/]+)$/, scopes: ACCOUNT, answer: membersOf },
]

/** Lists across workspaces, which Bitbucket took away. */
const REMOVED = /^\/(workspaces|teams|user\/permissions\/(workspaces|repositories))$/

/** Any request under `/2.0`. */
export function answerApi(request: FakeRequest, world: World): Answer {
  const path = request.path.slice('/2.0'.length).replace(/\/$/, '')
  if (REMOVED.test(path)) return removedEndpoint()
  const endpoint = ENDPOINTS.find(({ pattern }) => pattern.test(path))
  const parts = endpoint && decodeParts(endpoint.pattern.exec(path))
  if (!endpoint || !parts) return notFound()
  if (request.method !== 'GET' && request.method !== 'HEAD') return methodNotAllowed()
  const token = world.grants.findAccessToken(bearerOf(request, world) ?? '')
  if (!token || !isStillThere(token.grant, world)) return invalidToken()
  if (token.expired) return expiredToken()
  const accepted = endpoint.scopes(world)
  const { scopes: granted } = token.grant
  const isAllowed = accepted.length === 0 || accepted.some((scope) => granted.includes(scope))
  const answer = isAllowed
    ? endpoint.answer({ request, world, grant: token.grant, parts })
    : missingScope(accepted.slice(0, 1), granted)
  return { ...answer, headers: { ...answer.headers, ...apiHeaders(granted, accepted, world) } }
}

/** Catches of a pattern, percent-decoded; `undefined` where they cannot be. */
function decodeParts(match: RegExpExecArray | null): readonly string[] | undefined {
  try {
    return match?.slice(1).map((part) => decodeURIComponent(part))
  } catch {
    return undefined
  }
}

function emailScopes(world: World): readonly string[] {
  return world.behaviour.accountGivesEmails ? ['email', 'account'] : ['email']
}

function bearerOf(request: FakeRequest, { behaviour }: World): string | undefined {
  const header = String(request.headers.authorization ?? '')
  if (behaviour.bearer === 'strict') return /^Bearer (\S+)$/.exec(header)?.[1]
  return /^bearer (\S+)$/i.exec(header)?.[1] ?? request.query.get('access_token') ?? undefined
}

function isStillThere({ subject }: Grant, world: World): boolean {
  return 'appUser' in subject || world.people.find(subject.person) !== undefined
}

function apiHeaders(granted: readonly string[], accepted: readonly string[], world: World): Answer['headers'] {
  return {
    'cache-control': 'private',
    vary: 'Authorization, Origin, cookie',
    'x-oauth-scopes': granted.join(', '),
    'x-accepted-oauth-scopes': accepted.join(', '),
    ...(world.behaviour.rateHeaders === 'anonymous' && {
      'x-ratelimit-limit': '60, 60;w=3600',
      'x-ratelimit-remaining': '59',
      'x-ratelimit-reset': '3600',
    }),
  }
}

function answerUser(call: ApiCall): Answer {
  const person = personOf(call)
  return jsonAnswer(200, person ? userBody(person, call.world) : appUserBody(call))
}

function userBody(person: FakePerson, world: World): Record<string, unknown> {
  return {
    type: 'user',
    uuid: person.uuid,
    account_id: person.accountId,
    ...(person.username !== null && { username: person.username }),
    nickname: person.nickname,
    display_name: person.displayName,
    account_status: 'active',
    is_staff: false,
    has_2fa_enabled: null,
    location: null,
    created_on: '2019-02-19T10:36:46.361566+00:00',
    links: userLinks(person, world),
    ...person.user,
  }
}

function userLinks(person: FakePerson, { url, behaviour }: World): Record<string, unknown> {
  const id = encodeURIComponent(person.uuid)
  const avatar =
    person.avatarUrl === undefined ? `${url}/account/${encodeURIComponent(person.key)}/avatar` : person.avatarUrl
  const hrefs = {
    self: `${url}/2.0/users/${id}`,
    html: `${url}/${id}/`,
    ...(avatar !== null && { avatar }),
    repositories: `${url}/2.0/repositories/${id}`,
    snippets: `${url}/2.0/snippets/${id}`,
    hooks: `${url}/2.0/users/${id}/hooks`,
  }
  const shape = (href: string) => (behaviour.links === 'array' ? [{ href }] : { href })
  return Object.fromEntries(Object.entries(hrefs).map(([rel, href]) => [rel, shape(href)]))
}

/** Who a client_credentials token acts as: nobody. */
function appUserBody({ grant, world }: ApiCall): Record<string, unknown> {
  const { name, clientID } = world.clients.get(grant.clientID)
  return {
    type: 'app_user',
    kind: 'oauth_client',
    uuid: derivedUuid('app_user', clientID),
    account_id: `557058:${derivedUuid('app_account', clientID).slice(1, -1)}`,
    nickname: name,
    display_name: name,
    account_status: 'active',
    links: {},
  }
}

function answerEmails(call: ApiCall): Answer {
  const emails = personOf(call)?.emails ?? []
  return paginate(
    call,
    emails.map((email) => emailBody(email, call.world)),
    10,
  )
}

function answerEmail(call: ApiCall): Answer {
  const found = personOf(call)?.emails.find(({ address }) => address === call.parts[0])
  return found ? jsonAnswer(200, emailBody(found, call.world)) : notFound()
}

function emailBody({ address, primary, confirmed }: FakePerson['emails'][number], world: World): object {
  return {
    type: 'email',
    email: address,
    is_primary: primary,
    is_confirmed: confirmed,
    links: { self: { href: `${world.url}/2.0/user/emails/${address}` } },
  }
}
