import {
  type Answer,
  apiError,
  expiredToken,
  type FakeRequest,
  invalidToken,
  jsonAnswer,
  missingScope,
  notFound,
  removedEndpoint,
} from './answers'
import { derivedUuid, type FakeMembership, type FakePerson } from './people'
import type { Grant, World } from './world'

/** What an API endpoint knows when it answers. */
interface ApiCall {
  readonly request: FakeRequest
  readonly world: World
  /** The grant of the token, already accepted for this endpoint. */
  readonly grant: Grant
  /** The part of the path that the endpoint's pattern caught, decoded. */
  readonly part: string
}

interface ApiEndpoint {
  readonly pattern: RegExp
  /** One of these is needed. The first is the one that a refusal names. */
  readonly scopes: (world: World) => readonly string[]
  readonly answer: (call: ApiCall) => Answer
}

const ACCOUNT = () => ['account']

/** The resources that a sign-in reads, and the list of workspaces for an app's own admin page. */
const ENDPOINTS: readonly ApiEndpoint[] = [
  { pattern: /^\/user$/, scopes: ACCOUNT, answer: answerUser },
  { pattern: /^\/user\/emails$/, scopes: emailScopes, answer: answerEmails },
  { pattern: /^\/user\/workspaces$/, scopes: ACCOUNT, answer: workspaceAccess },
  { pattern: /^\/user\/workspaces\/([^/]+)\/permission$/, scopes: ACCOUNT, answer: membershipOf },
]

/** Lists across workspaces, which Bitbucket removed. */
const REMOVED = /^\/(workspaces|teams|user\/permissions\/(workspaces|repositories))$/

/** Any request under `/2.0`. */
export function answerApi(request: FakeRequest, world: World): Answer {
  const path = request.path.slice('/2.0'.length).replace(/\/$/, '')
  if (REMOVED.test(path)) return removedEndpoint()
  const endpoint = ENDPOINTS.find(({ pattern }) => pattern.test(path))
  const part = endpoint && decoded(endpoint.pattern.exec(path)?.[1] ?? '')
  if (!endpoint || part === undefined) return notFound()
  if (request.method !== 'GET' && request.method !== 'HEAD') return methodNotAllowed()
  const token = world.grants.findAccessToken(bearerOf(request, world) ?? '')
  if (!token || !isStillThere(token.grant, world)) return invalidToken()
  if (token.expired) return expiredToken()
  const accepted = endpoint.scopes(world)
  const { scopes: granted } = token.grant
  const answer = accepted.some((scope) => granted.includes(scope))
    ? endpoint.answer({ request, world, grant: token.grant, part })
    : missingScope(accepted.slice(0, 1), granted)
  return { ...answer, headers: { ...answer.headers, ...apiHeaders(granted, accepted, world) } }
}

function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}

function methodNotAllowed(): Answer {
  return jsonAnswer(405, { type: 'error', error: { message: 'Method not allowed' } }, { allow: 'GET, HEAD' })
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

/** The person behind the token; `undefined` behind client_credentials. */
function personOf({ grant, world }: ApiCall): FakePerson | undefined {
  return 'person' in grant.subject ? world.people.get(grant.subject.person) : undefined
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

/** The account of a client_credentials token: no person. */
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
  const emails = call.world.behaviour.emailList === 'empty' ? [] : (personOf(call)?.emails ?? [])
  return paginate(
    call,
    emails.map((email) => emailBody(email, call.world)),
    10,
  )
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

type Membership = Required<FakeMembership>

/** `GET /2.0/user/workspaces`: the workspaces that the user may enter. */
function workspaceAccess(call: ApiCall): Answer {
  const { query } = call.request
  const wanted = query.get('administrator')
  const all = membershipsOf(call)
    .map((membership) => ({
      type: 'workspace_access',
      administrator: membership.permission === 'owner',
      workspace: {
        type: 'workspace_base',
        slug: membership.slug,
        uuid: membership.uuid,
        links: links(membership, call.world),
      },
    }))
    .filter(({ administrator }) => wanted === null || String(administrator) === wanted)
    .sort((a, b) => (a.workspace.slug < b.workspace.slug ? -1 : 1))
  return paginate(call, query.get('sort') === '-slug' ? all.reverse() : all, 25)
}

/** `GET /2.0/user/workspaces/{workspace}/permission`: 403 to anyone who is not in it, whether it exists or not. */
function membershipOf(call: ApiCall): Answer {
  const person = personOf(call)
  const membership = findMembership(membershipsOf(call), call.part)
  if (!person || !membership) return apiError(403, { message: 'You do not have access to this workspace.' })
  return jsonAnswer(200, membershipBody(person, membership))
}

function membershipsOf(call: ApiCall): readonly Membership[] {
  return personOf(call)?.workspaces ?? []
}

/** By slug or by uuid. */
function findMembership(memberships: readonly Membership[], workspace: string | undefined): Membership | undefined {
  return memberships.find(({ slug, uuid }) => slug === workspace || uuid === workspace)
}

function membershipBody(person: FakePerson, membership: Membership): object {
  return {
    type: 'workspace_membership',
    permission: membership.permission,
    user: { type: 'user', uuid: person.uuid, nickname: person.nickname, display_name: person.displayName },
    workspace: workspaceBody(membership),
  }
}

function workspaceBody({ slug, uuid }: Membership): object {
  return { type: 'workspace', uuid, slug, name: slug }
}

function links({ slug }: Membership, { url }: World): object {
  return { self: { href: `${url}/2.0/workspaces/${slug}` }, avatar: { href: `${url}/workspaces/${slug}/avatar/` } }
}

/** One page of a list. `next` is absolute and opaque, and absent on the last page. */
function paginate({ request, world }: ApiCall, values: readonly object[], defaultPagelen: number): Answer {
  const page = Math.max(1, Number.parseInt(request.query.get('page') ?? '', 10) || 1)
  const pagelen = askedPagelen(request.query) ?? defaultPagelen
  const next = new URL(request.path, world.url)
  for (const [name, value] of request.query) next.searchParams.append(name, value)
  next.searchParams.set('page', String(page + 1))
  return jsonAnswer(200, {
    pagelen,
    page,
    size: values.length,
    values: values.slice((page - 1) * pagelen, page * pagelen),
    ...(values.length > page * pagelen && { next: next.href }),
  })
}

/** Bitbucket returns 10 to 100 per page, regardless of the request. */
function askedPagelen(query: URLSearchParams): number | undefined {
  const asked = Number.parseInt(query.get('pagelen') ?? '', 10)
  return Number.isNaN(asked) ? undefined : Math.min(100, Math.max(10, asked))
}
