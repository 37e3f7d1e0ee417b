import { loginOf } from '../session/signed-in-user'
import type { Visit } from './context'
import { withReturnTo } from './destination'
import { confirmPage } from './recent-sign-in'
import { accountPage, askedReturnTo, requireSignedIn } from './require-signed-in'
import { formOf, sendPage } from './send-page'
import { dataOf, sendToBitbucket } from './start'

/** `GET /reauthenticate`: the page whose form confirms the user with Bitbucket. */
export async function showReauthenticatePage<User>(visit: Visit<User>): Promise<void> {
  const current = requireSignedIn(visit, '/reauthenticate')
  const returnTo = askedReturnTo(visit)
  await sendPage(visit, {
    name: 'reauthenticate',
    ...(await accountPage(visit, current)),
    start: formOf(visit, '/reauthenticate', { returnTo }),
    otherHref: withReturnTo(confirmPage(visit), returnTo),
    otherSignsOut: visit.services.paths.confirm === undefined,
  })
}

/** `POST /reauthenticate`: the same Bitbucket identity again. It proves a session at Bitbucket, not who is at the keyboard. */
export async function startReauthentication<User>(visit: Visit<User>): Promise<void> {
  const login = loginOf(visit.req, requireSignedIn(visit, '/reauthenticate'))
  await sendToBitbucket(visit, { intent: 'reauthenticate', returnTo: askedReturnTo(visit), login, data: dataOf(visit) })
}
