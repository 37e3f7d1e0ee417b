import { BitbucketSignInError } from '../contract/errors'
import { clearNotice } from '../state/notice'
import type { RequestContext } from './context'
import { forgetLedHome } from './lead-home'

type Leaving<User> = Pick<RequestContext<User>, 'services' | 'req' | 'res'>

/**
 * Clears each of our cookies in this browser, then counts what they held as used. Never rejects: a sign-out must not
 * fail because a counter cannot be reached. Failures are reported.
 */
export async function forgetBrowser<User>({ services, req, res }: Leaving<User>): Promise<void> {
  const { jars, pendings, transactions, askedFor, secondPasses } = services.state
  const counting = jars.flatMap((jar) => {
    askedFor.clear(req, res, jar)
    secondPasses.clear(req, res, jar)
    clearNotice(req, res, jar)
    forgetLedHome(req, res, jar)
    return [pendings.forget(req, res, jar), transactions.forget(req, res, jar)]
  })
  for (const counted of await Promise.allSettled(counting)) {
    if (counted.status === 'fulfilled') continue
    const { reason } = counted
    services.report(reason instanceof BitbucketSignInError ? reason : failed(reason), req)
  }
}

const failed = (cause: unknown) =>
  new BitbucketSignInError(
    'store_unavailable',
    'The pending sign-ins of this browser could not be counted; see `cause`.',
    {
      cause,
    },
  )
