import { signOut } from '../session/rotate-session'
import type { Visit } from './context'
import { askAt } from './destination'
import { forgetBrowser } from './forget'
import { sendOn } from './reply'
import { accountPage, askedReturnTo, requireSignedIn } from './require-signed-in'
import { formOf, sendPage } from './send-page'

/** `GET /sign-in-again`: offers to sign out, for users who can only prove who they are on the app's sign-in page. */
export async function showSignInAgainPage<User>(visit: Visit<User>): Promise<void> {
  const current = requireSignedIn(visit)
  await sendPage(visit, {
    name: 'sign-in-again',
    ...(await accountPage(visit, current)),
    signOut: formOf(visit, '/sign-in-again', { returnTo: askedReturnTo(visit) }),
  })
}

/** `POST /sign-in-again`: signs out and shows the app's sign-in page, which some apps hide from signed-in users. */
export async function signOutToSignInAgain<User>(visit: Visit<User>): Promise<void> {
  const { req, services, connection } = visit
  requireSignedIn(visit)
  // The page remembered by a refused step is more exact than the form: it may be one of our own pages.
  const asked = services.state.askedFor.read(req, connection.jar) ?? askedReturnTo(visit)
  await forgetBrowser(visit)
  await signOut(req)
  await sendOn(visit, 'redirect', asked === null ? services.paths.signIn : askAt(visit, services.paths.signIn, asked))
}
