import type { User as AppUser } from './accounts/users.js'
import type { Place } from './bitbucket/places.js'
import type { ConnectionDraft } from './web/admin.js'

/** What our code adds to the types of Express and express-session. */
declare global {
  namespace Express {
    interface User extends AppUser {}
    interface Request {
      /** Names this request in logs and on error pages. */
      id: string
      /** Whose site is visited, and which application of it. */
      place?: Place
    }
  }
}

declare module 'express-session' {
  interface SessionData {
    /** Passport's own: who is signed in. */
    passport?: { user?: string }
    /** When the password was last given here, in milliseconds. */
    passwordAt?: number
    /** The package's own: when its last sign-in was. */
    bitbucketSignIn?: { at: number; user: string }
    /** How the account page names this session. */
    device?: string
    /** The mailed code that this browser is waiting for. */
    emailCode?: { id: string; purpose: 'sign-up' | 'verify' | 'reset'; email: string }
    /** Shown once on the next page. */
    notice?: { text: string; isProblem?: boolean }
    /** What the administrator entered and has not saved. */
    connectionDraft?: ConnectionDraft
  }
}
