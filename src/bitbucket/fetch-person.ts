import { BitbucketSignInError } from '../contract/errors'
import type { BitbucketEmail, Identity, Profile } from '../contract/identity'
import type { Tokens, WorkspaceMembership } from '../contract/tokens'
import { MEMBER_PERMISSIONS } from '../decisions/connection-levels'
import { cleanJson } from './clean-json'
import { type ApiClient, type Exchange, exchangeCode, getFromApi, urlsOf } from './exchange'
import { type JsonObject, type Membership, readEmailPage, readMembership, readProfile } from './read-answer'
import { Need, type UpstreamAnswer } from './transport-parts'
import { apiRefusal, faultAt, unexpected, workspaceRefusal } from './upstream-refusals'

/** The account owner behind a token. */
export interface Person {
  readonly identity: Identity
  readonly profile: Profile
  readonly workspaces: readonly WorkspaceMembership[]
  /** Bitbucket's account object, cleaned, for Passport's `_json`. Only a strategy asks, so only then it is copied. */
  readonly json: () => JsonObject
}

/** The addresses, `null` when they could not be read, and why. */
export type EmailList =
  | { readonly list: readonly BitbucketEmail[]; readonly failed: null }
  | { readonly list: null; readonly failed: BitbucketSignInError | null }

/** A user whose addresses are still being read: `profile.emails` is `null`. */
export interface IdentifiedPerson extends Person {
  readonly emails: EmailsAhead
}

/** Addresses that are read in advance. The promises do not reject: whether a failure matters depends on the user. */
export interface EmailsAhead {
  /** Settles when they happen to arrive. Under load their request is not sent before they are {@link needed}. */
  readonly read: Promise<EmailList>
  /** Waits for them: from now on, their request has the priority of any other. */
  needed(): Promise<EmailList>
}

/** A user with their addresses, `null` if they could not be read. */
export interface FetchedPerson extends Person {
  readonly emailsFailed: BitbucketSignInError | null
}

const MAX_EMAIL_PAGES = 10

/** Named outside collaborators, in older answers: they have access to a repository and are not members. */
const OUTSIDER_PERMISSION = 'collaborator'

/** A callback whose transaction was found and consumed: only now may anything be sent. */
export interface TakenLeg {
  readonly client: ApiClient
  readonly code: string
  readonly codeVerifier: string
}

/** The result of exchanging a code. */
export interface SignInResult {
  readonly tokens: Tokens
  readonly person: IdentifiedPerson
}

/**
 * Exchanges a code for tokens and their owner: two round trips. Nothing is decided here, and the addresses are
 * not awaited.
 */
export async function redeem(
  exchange: Exchange,
  { client, code, codeVerifier }: TakenLeg,
  options: FetchOptions = {},
): Promise<SignInResult> {
  const tokens = await exchangeCode(exchange, client, code, {
    grant_type: 'authorization_code',
    redirect_uri: client.callbackURL,
    code_verifier: codeVerifier,
  })
  return { tokens, person: await identify(exchange, client, tokens.accessToken, options) }
}

/** What to read of a user. */
export interface FetchOptions {
  /** Do not read the addresses. Default `false`. */
  readonly skipEmails?: boolean
}

/** Reads the profile, the memberships and the addresses concurrently. */
export async function fetchPerson(
  exchange: Exchange,
  client: ApiClient,
  accessToken: string,
  options: FetchOptions = {},
): Promise<FetchedPerson> {
  const { emails, ...person } = await identify(exchange, client, accessToken, options)
  const { list, failed } = await emails.needed()
  return { ...person, profile: { ...person.profile, emails: list }, emailsFailed: failed }
}

/** Like {@link fetchPerson}, but resolves once the profile and the memberships are known. */
async function identify(
  exchange: Exchange,
  client: ApiClient,
  accessToken: string,
  { skipEmails = false }: FetchOptions,
): Promise<IdentifiedPerson> {
  const user = getFromApi(exchange, client, accessToken, 'user', urlsOf(client).user)
  const memberships = client.workspaces.map((workspace) => fetchMembership(exchange, client, accessToken, workspace))
  const emails = skipEmails ? SKIPPED : emailsAhead(exchange, client, accessToken)
  const [account, ...found] = await Promise.all([user, ...memberships])
  if (account.status !== 200) throw apiRefusal('user', account)
  const { body } = account
  const profile = body && readProfile(body, null)
  if (!profile || !body) {
    throw faultAt(
      'user',
      'profile_invalid',
      'Bitbucket did not describe a user with a well-formed uuid. Check `endpoints` and every proxy in between.',
    )
  }
  const identity = { issuer: client.issuer, id: profile.id }
  return { identity, profile, workspaces: confirmed(found, profile.id), emails, json: () => cleanJson(body) }
}

function emailsAhead(exchange: Exchange, client: ApiClient, accessToken: string): EmailsAhead {
  const need = new Need()
  const read = fetchEmails(exchange, client, accessToken, need)
  // A defect rejects for those who await it; if nothing does, it must not end the process.
  read.catch(() => {})
  const needed = () => {
    need.begin()
    return read
  }
  return { read, needed }
}

const NOT_READ: Promise<EmailList> = Promise.resolve({ list: null, failed: null })
const SKIPPED: EmailsAhead = { read: NOT_READ, needed: () => NOT_READ }

/** Every page of the addresses, or why the list could not be read completely. */
async function fetchEmails(exchange: Exchange, client: ApiClient, accessToken: string, need: Need): Promise<EmailList> {
  const list: BitbucketEmail[] = []
  try {
    let url: URL | undefined = urlsOf(client).emails
    for (let page = 0; url; page++) {
      if (page === MAX_EMAIL_PAGES) throw unexpected('emails', `with more than ${MAX_EMAIL_PAGES} pages of addresses`)
      const answer: UpstreamAnswer = await getFromApi(exchange, client, accessToken, 'emails', url, need)
      if (answer.status !== 200) throw apiRefusal('emails', answer)
      const read = answer.body && readEmailPage(answer.body)
      if (!read) throw unexpected('emails', 'without a well-formed page of addresses')
      list.push(...read.emails)
      url = read.next === undefined ? undefined : nextPage(read.next, client)
    }
    return { list, failed: null }
  } catch (error) {
    if (error instanceof BitbucketSignInError) return { list: null, failed: error }
    throw error
  }
}

/** `next` is opaque, but the token goes with it: it is followed on the API's own origin only. */
function nextPage(next: unknown, client: ApiClient): URL {
  const url = typeof next === 'string' && URL.canParse(next) ? new URL(next) : undefined
  if (url?.origin === urlsOf(client).origin && url.username === '' && url.password === '') return url
  throw unexpected('emails', 'with a `next` page outside its API')
}

/** A workspace's answer: a membership, `null` for none, or a fault that proves nothing about the user. */
type MembershipAnswer = Membership | null | BitbucketSignInError

async function fetchMembership(
  exchange: Exchange,
  client: ApiClient,
  accessToken: string,
  workspace: string,
): Promise<MembershipAnswer> {
  const url = new URL(`${client.apiURL}/user/workspaces/${encodeURIComponent(workspace)}/permission`)
  try {
    const answer = await getFromApi(exchange, client, accessToken, 'workspace', url)
    if (answer.status !== 200) return workspaceRefusal(answer)
    return (answer.body && readMembership(answer.body, workspace)) ?? notThatMembership()
  } catch (error) {
    if (error instanceof BitbucketSignInError) return error
    throw error
  }
}

/** The user's memberships. One suffices, whatever else failed; without one, a fault does not mean "not a member". */
function confirmed(answers: readonly MembershipAnswer[], id: string): readonly WorkspaceMembership[] {
  const checked = answers.map((answer) => (answer && 'slug' in answer ? judged(answer, id) : answer))
  const members = checked.filter((answer) => answer !== null && 'slug' in answer)
  const fault = checked.find((answer) => answer instanceof BitbucketSignInError)
  if (members.length === 0 && fault) throw fault
  return members
}

/** An unknown permission proves nothing: it could name an invitation, or a new kind of member. */
function judged({ user, ...membership }: Membership, id: string): WorkspaceMembership | null | BitbucketSignInError {
  if (user !== undefined && user !== id) return notThatMembership()
  if (MEMBER_PERMISSIONS.includes(membership.permission)) return membership
  return membership.permission === OUTSIDER_PERMISSION ? null : unexpected('workspace', 'with an unknown permission')
}

function notThatMembership(): BitbucketSignInError {
  return unexpected('workspace', 'without the requested membership')
}
