import { writeUnlink } from '../accounts/account-writer'
import type { KnownUser } from '../accounts/guarded-hooks'
import { hasUnverifiedAddress } from '../accounts/link-identity'
import { BitbucketSignInError } from '../contract/errors'
import type { Identity } from '../contract/identity'
import { configurationError } from '../contract/options'
import { decideUnlink } from '../decisions/linking'
import { assertSessionUnchanged, currentUser, loginOf } from '../session/rotate-session'
import { requireSession } from '../session/session-layer'
import { bodyField } from './body'
import { requireLinkHooks } from './complete-link'
import { finish, type Outcome, readAllowed, refusal } from './finish'
import { formOf } from './pending-form'
import { confirmPage, requireRecent } from './recent-sign-in'
import { sendOn, sendPage } from './reply'
import { dataOf, sendToBitbucket } from './start'
import { accountsOf, destinationOf, hooksOf, returnToOf, startAt, type Visit, withReturnTo } from './visit'

/** `GET /link`: the page whose form starts linking. The app only has to link to it. */
export async function showLinkPage<User>(visit: Visit<User>): Promise<void> {
  const { req, res, query, services, connection } = visit
  const current = requireSignedIn(visit, linkPageOf(visit))
  const hooks = hooksOf(visit, 'link')
  const description = await hooks.describe(current)
  const identities = (await hooks.listIdentities(current)) ?? []
  const returnTo = returnToOf(visit, query.returnTo)
  const back = returnTo ?? services.paths.signedIn
  const fields = returnTo === null ? {} : { returnTo }
  const hasOne = identities.some(({ issuer }) => issuer === connection.issuer)
  const full = hasOne && services.policy.identitiesPerUser === 'one'
  await sendPage(
    services,
    req,
    res,
    {
      name: 'link',
      accountLabel: description?.label ?? current.id,
      // Of every issuer: an identity whose connection is gone or changed hands must stay visible.
      linked: identities.map(({ issuer, id, profile }) => ({
        label: profile?.nickname ?? profile?.displayName ?? id,
        unlink: hooks.has.unlink ? formOf(visit, '/unlink', { ...fields, issuer, id }) : null,
      })),
      link: full ? null : formOf(visit, '/link', fields),
      backHref: back,
    },
    connection,
  )
}

/** `POST /link`: starts linking for the user of this session only. */
export async function startLink<User>(visit: Visit<User>): Promise<void> {
  const current = requireSignedIn(visit, linkPageOf(visit))
  await requireRecent(visit, current, linkPageOf(visit))
  const hooks = hooksOf(visit, 'link')
  requireLinkHooks(hooks)
  const unverified = hasUnverifiedAddress(await hooks.describe(current))
  if (unverified && visit.services.policy.localAddresses === 'verified') throw refusal('email_unverified')
  startFor(visit, 'link', current)
}

/** `POST /unlink`: removes an identity of the user of this session, never the last way in. */
export async function unlink<User>(visit: Visit<User>): Promise<void> {
  const { req, res } = visit
  const current = requireSignedIn(visit, linkPageOf(visit))
  await requireRecent(visit, current, linkPageOf(visit))
  const accounts = accountsOf(visit, 'link')
  const { hooks } = accounts
  if (!hooks.has.unlink || !hooks.has.list) {
    throw configurationError('Unlinking needs the hooks `unlinkIdentity` and `listIdentities`. Add them to `accounts`.')
  }
  const known = await readAllowed(hooks, current)
  const own = (await hooks.listIdentities(known)) ?? []
  const identity = { issuer: bodyField(req, 'issuer') ?? visit.connection.issuer, id: bodyField(req, 'id') ?? '' }
  // Another user's identity and a nonexistent one get the same response.
  if (decideUnlink(identity, own) === 'not-found') throw refusal('identity_not_found')
  const remaining = await waysIn(visit, own, identity)
  await assertSessionUnchanged(req)
  const unlinking = { identity, remaining }
  if ((await writeUnlink(known, unlinking, accounts)) === 'last') throw refusal('last_sign_in_method')
  const membership: Outcome<User>['membership'] = (before) =>
    before?.identity.issuer === identity.issuer && before.identity.id === identity.id ? null : before
  const end = { heldBy: 'user', carry: 'everything', at: null, membership } as const
  await finish(visit, { accounts, known, identity, signedInWith: null, ...end })
  sendOn(req, res, 'unlinked', destinationOf(visit, returnToOf(visit, bodyField(req, 'returnTo')), 'unlinked'))
}

/** The other identities that still open the account: stored ones of an issuer that no connection serves do not. */
async function waysIn<User>(
  { services: { source }, connection }: Visit<User>,
  own: readonly Identity[],
  without: Identity,
): Promise<readonly Identity[]> {
  const others = own.filter(({ issuer, id }) => issuer !== without.issuer || id !== without.id)
  const issuers = [...new Set(others.map(({ issuer }) => issuer))]
  const served = await Promise.all(
    issuers.map(async (each) => each === connection.issuer || (await source.serves(each))),
  )
  return others.filter(({ issuer }) => served[issuers.indexOf(issuer)]).map(({ issuer, id }) => ({ issuer, id }))
}

/** `GET /reauthenticate`: the page whose form confirms the user with Bitbucket. */
export async function showReauthenticatePage<User>(visit: Visit<User>): Promise<void> {
  const { req, res, query, services, connection } = visit
  const current = requireSignedIn(visit)
  const returnTo = returnToOf(visit, query.returnTo)
  const description = await hooksOf(visit, 'reauthenticate').describe(current)
  await sendPage(
    services,
    req,
    res,
    {
      name: 'reauthenticate',
      accountLabel: description?.label ?? current.id,
      start: formOf(visit, '/reauthenticate', returnTo === null ? {} : { returnTo }),
      otherHref: withReturnTo(confirmPage(visit), returnTo),
      backHref: services.paths.signedIn,
    },
    connection,
  )
}

/** `POST /reauthenticate`: the same Bitbucket identity again. It proves a session at Bitbucket, not who is at the keyboard. */
export async function startReauthentication<User>(visit: Visit<User>): Promise<void> {
  startFor(visit, 'reauthenticate', requireSignedIn(visit))
}

function startFor<User>(visit: Visit<User>, intent: 'link' | 'reauthenticate', current: KnownUser<User>): void {
  const returnTo = returnToOf(visit, bodyField(visit.req, 'returnTo'))
  sendToBitbucket(visit, { intent, returnTo, login: loginOf(visit.req, current), data: dataOf(visit) })
}

/** The return URL in the query or the form of this request. */
function askedBy<User>(visit: Visit<User>): string | null {
  return returnToOf(visit, bodyField(visit.req, 'returnTo') ?? visit.query.returnTo)
}

/** The link page, with its return URL. */
function linkPageOf<User>(visit: Visit<User>): string {
  return withReturnTo(`${visit.connection.basePath}/link`, askedBy(visit))
}

/** The user of this request; without one, the refusal offers a sign-in that returns to `asked`. */
export function requireSignedIn<User>(visit: Visit<User>, asked: string | null = askedBy(visit)): KnownUser<User> {
  const { req, services, about } = visit
  requireSession(req)
  about.retry = startAt(visit, asked)
  const current = currentUser(req, services.userId)
  if (!current) throw new BitbucketSignInError('not_signed_in', 'This step needs a signed-in user.')
  about.userId = current.id
  return current
}
