import { writeUnlink } from '../accounts/account-writer'
import { hasUnverifiedAddress } from '../accounts/link-identity'
import type { Identity } from '../contract/identity'
import { configurationError } from '../contract/options'
import { decideUnlink } from '../decisions/linking'
import { loginOf } from '../session/signed-in-user'
import { assertSessionUnchanged } from '../session/stored-session'
import { bodyField } from './body'
import { requireLinkHooks } from './complete-link'
import type { Visit } from './context'
import { destinationOf } from './destination'
import { finish, type Outcome, readAllowed, refusal } from './finish'
import { requireRecent } from './recent-sign-in'
import { sendOn } from './reply'
import { accountsOf, hooksOf } from './request-hooks'
import { accountLabel, askedReturnTo, pageAt, requireSignedIn } from './require-signed-in'
import { formOf, sendPage } from './send-page'
import { dataOf, sendToBitbucket } from './start'

/** `GET /link`: the page whose form starts linking. The app only has to link to it. */
export async function showLinkPage<User>(visit: Visit<User>): Promise<void> {
  const { services, connection } = visit
  const current = requireSignedIn(visit, '/link')
  const hooks = hooksOf(visit, 'link')
  const label = await accountLabel(hooks, current)
  const identities = (await hooks.listIdentities(current)) ?? []
  const returnTo = askedReturnTo(visit)
  const hasOne = identities.some(({ issuer }) => issuer === connection.issuer)
  const full = hasOne && services.policy.identitiesPerUser === 'one'
  await sendPage(visit, {
    name: 'link',
    accountLabel: label,
    // Of every issuer: an identity whose connection is gone or changed hands must stay visible.
    linked: identities.map(({ issuer, id, profile }) => ({
      label: profile?.nickname ?? profile?.displayName ?? id,
      unlink: hooks.has.unlink ? formOf(visit, '/unlink', { returnTo, issuer, id }) : null,
    })),
    link: full ? null : formOf(visit, '/link', { returnTo }),
    backHref: returnTo ?? services.paths.signedIn,
  })
}

/** `POST /link`: starts linking for the user of this session only. */
export async function startLink<User>(visit: Visit<User>): Promise<void> {
  const current = requireSignedIn(visit, '/link')
  await requireRecent(visit, current, pageAt(visit, '/link'))
  const hooks = hooksOf(visit, 'link')
  requireLinkHooks(hooks)
  const unverified = hasUnverifiedAddress(await hooks.describe(current))
  if (unverified && visit.services.policy.localAddresses === 'verified') throw refusal('email_unverified')
  const login = loginOf(visit.req, current)
  await sendToBitbucket(visit, { intent: 'link', returnTo: askedReturnTo(visit), login, data: dataOf(visit) })
}

/** `POST /unlink`: removes an identity of the user of this session, never the last way in. */
export async function unlink<User>(visit: Visit<User>): Promise<void> {
  const { req } = visit
  const current = requireSignedIn(visit, '/link')
  await requireRecent(visit, current, pageAt(visit, '/link'))
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
  await sendOn(visit, 'unlinked', destinationOf(visit, askedReturnTo(visit), 'unlinked'))
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
