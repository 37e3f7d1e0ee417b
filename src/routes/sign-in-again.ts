import { signOut } from '../session/rotate-session'
import { bodyField } from './body'
import { forgetBrowser } from './forget'
import { requireSignedIn } from './link'
import { formOf } from './pending-form'
import { sendOn, sendPage } from './reply'
import { askAt, hooksOf, returnToOf, type Visit } from './visit'

/** `GET /sign-in-again`: offers to sign out, for users who can only prove who they are on the app's sign-in page. */
export async function showSignInAgainPage<User>(visit: Visit<User>): Promise<void> {
  const { req, res, query, services, connection } = visit
  const current = requireSignedIn(visit)
  const returnTo = returnToOf(visit, query.returnTo)
  const description = await hooksOf(visit, 'reauthenticate').describe(current)
  await sendPage(
    services,
    req,
    res,
    {
      name: 'sign-in-again',
      accountLabel: description?.label ?? current.id,
      signOut: formOf(visit, '/sign-in-again', returnTo === null ? {} : { returnTo }),
      backHref: services.paths.signedIn,
    },
    connection,
  )
}

/** `POST /sign-in-again`: signs out and shows the app's sign-in page, which some apps hide from signed-in users. */
export async function signOutToSignInAgain<User>(visit: Visit<User>): Promise<void> {
  const { req, res, services, connection } = visit
  requireSignedIn(visit)
  // The page remembered by a refused step is more exact than the form: it may be one of our own pages.
  const asked = services.askedFor.read(req, connection.jar) ?? returnToOf(visit, bodyField(req, 'returnTo'))
  await forgetBrowser(services, req, res)
  await signOut(req)
  sendOn(req, res, 'redirect', asked === null ? services.paths.signIn : askAt(visit, services.paths.signIn, asked))
}
