import type { RequestHandler } from 'express'
import type { KnownUser } from '../accounts/account-access'
import type { ActiveConnection } from '../connections/active-connection'
import { BitbucketSignInError } from '../contract/errors'
import { configurationError } from '../contract/options'
import { decideMembership } from '../decisions/membership'
import { checkGuardOptions } from '../options/guard-options'
import { membershipOf } from '../session/stamps'
import { now } from '../time/clock'
import type { Visit } from './context'
import { destinationOf } from './destination'
import { finish } from './finish'
import { type GuardOptions, guard, type Refused } from './guard'
import { sendOn } from './reply'
import { accountsOf, hooksOf } from './request-hooks'
import { accountPage, askedReturnTo, requireSignedIn } from './require-signed-in'
import { formOf, sendPage } from './send-page'
import type { Services } from './services'

/** Options of `requireMembership`. */
export interface MembershipOptions extends GuardOptions {
  /**
   * The workspaces of which one membership is needed, written as in the connection's `workspaces`, which must contain
   * them: no sign-in requests others. Default: those of the connection.
   */
  readonly workspaces?: readonly string[]
  /** How long ago Bitbucket may have confirmed the membership, in milliseconds. */
  readonly maxAgeMs: number
  /**
   * For how many milliseconds after that the user may continue without Bitbucket, which may be down. `0` = not at all. A
   * user who was removed from the workspace can use it as well: access ends after `maxAgeMs + graceMs` at the latest.
   */
  readonly graceMs: number
}

/**
 * Middleware that keeps checking, during a session, that the user is a member. It calls nothing upstream: the session
 * holds what Bitbucket confirmed at the last sign-in or re-authentication, and when that is too old, the user confirms.
 */
export function requireMembership<User>(services: Services<User>, options: MembershipOptions): RequestHandler {
  checkGuardOptions('requireMembership', options)
  const { maxAgeMs, graceMs } = options
  const workspaces = options.workspaces?.map((each) => each.toLowerCase())
  return guard(services, options, async ({ context, current, visit: open }) => {
    const visit = await open()
    if (!visit) return NO_CONNECTION
    const gate = workspacesOf(visit.connection, workspaces)
    const rules = { workspaces: gate, maxAgeMs, graceMs }
    const verdict = decideMembership(membershipOf(context.req, current), rules, visit.connection, now())
    switch (verdict) {
      case 'confirmed':
        return null
      case 'elsewhere':
        return { ...confirmAt(visit, false), code: 'workspace_required', redirects: false }
      case 'grace':
        return confirmAt(visit, true)
      case 'unconfirmed':
        return (await hasIdentity(visit, current)) ? confirmAt(visit, false) : connectAt(visit)
    }
  })
}

const NO_CONNECTION: Refused = { code: 'connection_unavailable', redirects: false, page: () => null }

/** `grace` also offers to continue without confirming; the guard alone decides whether that suffices. */
function confirmAt<User>({ connection: { basePath } }: Visit<User>, grace: boolean): Refused {
  const page = `${basePath}/membership`
  return {
    code: 'membership_unconfirmed',
    redirects: true,
    page: (askFor) => {
      const asked = askFor(page)
      return grace ? `${asked}${asked === page ? '?' : '&'}${GRACE}=1` : asked
    },
  }
}

const GRACE = 'grace'

function connectAt<User>({ connection: { basePath } }: Visit<User>): Refused {
  return { code: 'identity_required', redirects: false, page: (askFor) => askFor(`${basePath}/link`) }
}

/** Whether the user can confirm at Bitbucket; an app without `listIdentities` cannot tell, so Bitbucket decides. */
async function hasIdentity<User>(visit: Visit<User>, current: KnownUser<User>): Promise<boolean> {
  const identities = await hooksOf(visit, 'reauthenticate').listIdentities(current)
  return identities?.some(({ issuer }) => issuer === visit.connection.issuer) ?? true
}

/** The required workspaces. An empty array would let everyone pass. */
function workspacesOf({ id, workspaces }: ActiveConnection, asked: readonly string[] = workspaces): readonly string[] {
  if (workspaces.length === 0) {
    throw configurationError(
      `requireMembership: the connection "${id}" has no \`workspaces\`, so Bitbucket confirms no membership. Add them to the connection.`,
    )
  }
  const unknown = asked.find((each) => !workspaces.includes(each))
  if (unknown === undefined) return asked
  throw configurationError(
    `requireMembership: "${unknown}" is not among the \`workspaces\` of the connection "${id}", so no sign-in asks about it. Add it there, written the same way.`,
  )
}

/** `GET /membership`: asks the user to confirm with Bitbucket that they are still a member. */
export async function showMembershipPage<User>(visit: Visit<User>): Promise<void> {
  const current = requireSignedIn(visit, '/membership')
  const returnTo = askedReturnTo(visit)
  const mayGoOn = visit.query[GRACE] === '1' && membershipOf(visit.req, current) !== null
  await sendPage(visit, {
    name: 'membership',
    ...(await accountPage(visit, current)),
    start: formOf(visit, '/reauthenticate', { returnTo }),
    goOn: mayGoOn ? formOf(visit, '/membership', { returnTo }) : null,
  })
}

/**
 * `POST /membership`: continues without Bitbucket for a while. It only records the choice; each guard decides
 * by its own `graceMs` whether it suffices.
 */
export async function goOnWithoutBitbucket<User>(visit: Visit<User>): Promise<void> {
  const { req } = visit
  const current = requireSignedIn(visit, '/membership')
  const returnTo = askedReturnTo(visit)
  const stamp = membershipOf(req, current)
  if (!stamp) {
    throw new BitbucketSignInError('membership_unconfirmed', 'Bitbucket has confirmed no membership in this session.')
  }
  const accounts = accountsOf(visit, 'reauthenticate')
  const membership = () => ({ ...stamp, wentOnAt: now() })
  const end = { heldBy: 'user', carry: 'everything', at: null, membership } as const
  await finish(visit, { accounts, known: current, identity: stamp.identity, signedInWith: null, ...end })
  await sendOn(visit, 'continued', destinationOf(visit, returnTo, 'reauthenticated'))
}
