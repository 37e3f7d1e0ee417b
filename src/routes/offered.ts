import { queryOf } from '../bitbucket/callback-parameters'
import { type ActiveConnection, requestOrigin } from '../connections/active-connection'
import { BitbucketSignInError } from '../contract/errors'
import { parseReturnTo } from '../decisions/return-to'
import { type ButtonOptions, renderButton } from '../pages/button'
import type { Asking } from './context'
import { withReturnTo } from './destination'
import { originNotAllowed } from './start-place'

/** The connection whose button is to be shown, `null` = none. */
export async function offeredConnection<User>({ services, req }: Asking<User>): Promise<ActiveConnection | null> {
  try {
    const connection = await services.source.resolve(req)
    if (!connection?.visible) return null
    if (requestOrigin(req, connection) !== null) return connection
    // The page has other ways to sign in; that the button is missing there must not stay unnoticed.
    originNotAllowed({ services, req }, connection)
    return null
  } catch (error) {
    if (!(error instanceof BitbucketSignInError)) throw error
    services.report(error, req)
    return null
  }
}

/**
 * The sign-in button, or an empty string if the connection is not offered. Without `returnTo` it takes the one of its page:
 * a guard named there what the user asked for.
 */
export async function button<User>(
  asking: Asking<User>,
  {
    returnTo = queryOf(asking.req).returnTo,
    ...looks
  }: Omit<ButtonOptions, 'href' | 'texts'> & { readonly returnTo?: unknown },
): Promise<string> {
  const { services, req } = asking
  const connection = await offeredConnection(asking)
  if (!connection) return ''
  const { basePath } = connection
  const path = parseReturnTo(returnTo, { basePath, signInPath: services.paths.signIn }) ?? null
  return renderButton({ href: withReturnTo(basePath || '/', path), texts: services.pages.texts(req), ...looks })
}
