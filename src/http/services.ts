import type { Request } from 'express'
import type { AccountHooks } from '../accounts/hooks'
import type { Exchange } from '../bitbucket/api'
import type { ConnectionSource } from '../connection'
import type { BitbucketSignInError } from '../errors'
import type { SignInEvent } from '../events'
import type { KeyRing } from '../flow/keys'
import type { Limits } from '../flow/limits'
import type { PendingSignIns } from '../flow/pending'
import type { CookieJar } from '../flow/sealed-cookie'
import type { Transactions } from '../flow/transaction'
import type { EmailCodeMessage } from '../options'
import type { LinkPolicy } from '../policy/linking'
import type { SignInPolicy } from '../policy/sign-in'
import type { RenderPage } from './pages/page'
import type { Texts } from './pages/texts'

/** Everything the routes of one plugin work with; made once by the composition, never changed. */
export interface Services<User> {
  readonly name: string
  readonly source: ConnectionSource
  readonly accounts: AccountHooks<User>
  readonly userId: (user: User) => string | null
  readonly signedInAt: ((req: Request) => Date | null) | undefined
  readonly sendEmailCode: ((message: EmailCodeMessage) => unknown) | undefined
  /** As it holds where the connection does not close sign-up. */
  readonly policy: SignInPolicy & LinkPolicy
  readonly paths: { readonly signedIn: string; readonly signIn: string; readonly failed: string | undefined }
  /** Session keys carried across rotation. */
  readonly keep: readonly string[]
  readonly keys: { readonly handOver: KeyRing; readonly code: KeyRing }
  readonly transactions: Transactions
  readonly pendings: PendingSignIns
  readonly limits: Limits
  readonly transport: Exchange['transport']
  readonly timeoutMs: number
  /** Our cookies under both names that they can have, for requests without a connection. */
  readonly jars: readonly CookieJar[]
  readonly texts: (req: Request) => Texts
  readonly renderPage: RenderPage | undefined
  readonly hiddenFields: (req: Request) => Readonly<Record<string, string>>
  /** Tells the audit hook, where there is one. */
  readonly emit: ((event: SignInEvent) => void) | undefined
  /** Tells whoever has to mend a fault. */
  readonly report: (error: BitbucketSignInError, req: Request) => void
}
