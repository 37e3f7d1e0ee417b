import type { Request } from 'express'
import { stateInvalid } from '../bitbucket/callback-parameters'
import { takeAuthorization } from '../connections/authorization'
import { BitbucketSignInError } from '../contract/errors'
import { exchangeFor, findTransaction } from '../routes/callback'
import { openVisit, RequestContext, tell } from '../routes/context'
import {
  assertEntitled,
  confirmedMembership,
  membershipEntryOf,
  type Outcome,
  prepare,
  refusal,
} from '../routes/finish'
import { accountsOf } from '../routes/request-hooks'
import type { Services } from '../routes/services'
import { begin } from '../routes/start'
import { confirmLogIn } from '../session/rotate-session'
import { requireSession } from '../session/session-layer'
import { stampNewSession } from '../session/stamps'
import { now } from '../time/clock'
import {
  cloneFor,
  dataOf,
  type PassportActions,
  refuseOverrides,
  runLeg,
  type StrategyRouteOptions,
} from './strategy-request'

import passport = require('passport')

/**
 * The plugin for apps that call `passport.authenticate('bitbucket')` themselves. Checks and transactions are the
 * router's. It signs in known identities only: anything that needs a question, an email or a write is refused, because a strategy
 * has no pages to ask on.
 */
export class PluginStrategy<User> extends passport.Strategy {
  override readonly name: string
  declare protected readonly _services: Services<User>

  constructor(services: Services<User>) {
    super()
    this.name = services.name
    Object.defineProperty(this, '_services', { value: services })
  }

  /** Passport's entry: the callback if the query carries Bitbucket's answer, otherwise a start. */
  override authenticate(req: Request, options: StrategyRouteOptions = {}): void {
    const run = cloneFor(this)
    const services = this._services
    void runLeg(run, req, options, {
      start: (res) => start(new RequestContext(services, req, res), run, options),
      finish: (res) => finish(new RequestContext(services, req, res), run),
      describe: (code) => services.pages.texts(req).errors[code],
    })
  }
}

async function start<User>(
  context: RequestContext<User>,
  run: PassportActions,
  options: StrategyRouteOptions,
): Promise<void> {
  const visit = await openVisit(context)
  refuseOverrides(options, visit.connection)
  const data = dataOf(options.state)
  const { state, codeChallenge } = begin(visit, { intent: 'sign-in', returnTo: null, login: null, data })
  run.redirect(visit.connection.authorizationLocation(state, codeChallenge))
}

async function finish<User>(context: RequestContext<User>, run: PassportActions): Promise<void> {
  const { req, services } = context
  if (req.method !== 'GET') throw stateInvalid()
  const visit = await openVisit(context)
  const { parameters, found } = findTransaction(visit)
  requireSession(req)
  const code = await takeAuthorization(services.state.transactions, visit, found, parameters)
  const { transaction } = found
  if (transaction.intent !== 'sign-in') {
    throw new BitbucketSignInError('state_invalid', 'This callback was not started to sign in.')
  }
  const { person, tokens } = await exchangeFor(visit, transaction, code)
  const { identity, profile, workspaces } = person
  const accounts = accountsOf(visit, 'sign-in', { workspaces, data: transaction.data })
  const owner = await accounts.hooks.findByIdentity(identity)
  if (owner.type === 'nobody') throw refusal('sign_up_disabled')
  if (owner.type === 'orphaned' || !(await accounts.hooks.canSignIn(owner))) throw refusal('account_disabled')
  const outcome: Outcome<User> = {
    accounts,
    known: { user: owner.user, id: owner.id },
    identity,
    signedInWith: { profile, how: 'signed_in', tokens },
    heldBy: 'identity',
    carry: { keys: [] },
    at: null,
    membership: confirmedMembership(identity, workspaces, now()),
  }
  const { user, id } = await prepare(visit, outcome)
  confirmLogIn(req, async () => {
    // Saved before the check: a later save would restore a session that was ended meanwhile.
    await stampNewSession(req, { user, id }, membershipEntryOf(visit, outcome))
    await assertEntitled(outcome)
    tell(visit, 'signed_in', { userId: id, identityId: identity.id })
  })
  run.success(user, transaction.data === undefined ? undefined : { state: transaction.data })
}
