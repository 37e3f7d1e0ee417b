import { authorizationCode, stateInvalid } from '../bitbucket/callback-parameters'
import { BitbucketSignInError } from '../contract/errors'
import { exchangeFor, findTransaction, takeTransaction } from '../routes/callback'
import { followUp, refusal } from '../routes/complete-sign-in'
import type { Services } from '../routes/services'
import { begin } from '../routes/start'
import { hooksOf, openVisit, tell } from '../routes/visit'
import { requireSession } from '../session/session-layer'
import type { StrategyDriver } from './protocol-strategy'

/**
 * The plugin for apps that call `passport.authenticate('bitbucket')` themselves. Checks and transactions are the
 * router's. It signs in known identities only: what the router would ask, mail or write is refused, because a strategy
 * has no pages to ask on.
 */
export function passportDriver<User>(services: Services<User>): StrategyDriver {
  return {
    async start(req, res) {
      return begin(await openVisit(services, req, res), { intent: 'sign-in', returnTo: null, login: null })
    },

    async finish(run, req, res) {
      if (req.method !== 'GET') throw stateInvalid()
      const visit = await openVisit(services, req, res)
      const { parameters, found } = findTransaction(visit)
      requireSession(req)
      const { transaction } = await takeTransaction(visit, found)
      if (transaction.intent !== 'sign-in') {
        throw new BitbucketSignInError('state_invalid', 'This callback was not started to sign in.')
      }
      const { person, tokens } = await exchangeFor(visit, transaction, authorizationCode(parameters))
      const hooks = hooksOf(visit, 'sign-in', person.workspaces)
      const known = await hooks.findByIdentity(person.identity)
      if (known.type === 'nobody') throw refusal('sign_up_disabled')
      if (known.type === 'orphaned' || !(await hooks.canSignIn(known.user))) throw refusal('account_disabled')
      await followUp(visit, hooks, known, person, tokens)
      tell(visit, 'signed_in', { userId: known.id, identityId: person.identity.id })
      run.success(known.user)
    },

    describe: (code, req) => services.texts(req).errors[code],
  }
}
