import type { Request } from 'express'
import type { Exchange } from '../bitbucket/exchange'
import type { ConnectionSource } from '../connections/connection-source'
import type { Brand } from '../contract/brand'
import type { BitbucketSignInError } from '../contract/errors'
import type { SignInEvent } from '../contract/events'
import type { AccountHooks } from '../contract/hooks'
import type { EmailCodeMessage } from '../contract/options'
import type { RenderPage } from '../contract/pages'
import type { LinkPolicy, SignInPolicy } from '../contract/policy'
import type { Texts } from '../contract/texts'

import type { AskedFor } from '../state/asked-for'
import type { KeyRing } from '../state/keys'
import type { Limits } from '../state/limits'
import type { PendingSignIns } from '../state/pending-sign-in'
import type { CookieJar } from '../state/sealed-cookie'
import type { SecondPasses } from '../state/second-pass'
import type { Transactions } from '../state/transaction'

/** The dependencies of one plugin's routes; made once at construction, never changed. */
export interface Services<User> {
  readonly name: string
  readonly source: ConnectionSource
  readonly accounts: AccountHooks<User>
  readonly userId: (user: User) => string | null
  /** The user as Passport reads it at each request. */
  readonly reread: (user: User, req: Request) => Promise<unknown>
  readonly signedInAt: ((req: Request) => Date | null) | undefined
  readonly sendEmailCode: ((message: EmailCodeMessage) => unknown) | undefined
  /** The policy while the connection does not close sign-up. */
  readonly policy: SignInPolicy & LinkPolicy
  readonly paths: {
    readonly signedIn: string
    readonly signedUp: string
    readonly signIn: string
    readonly confirm: string | undefined
    readonly failed: string | undefined
  }
  readonly data: ((req: Request) => unknown) | undefined
  readonly outcomeParameter: string | undefined
  /** Session keys carried across rotation. */
  readonly keep: readonly string[]
  readonly keys: { readonly handOver: KeyRing; readonly code: KeyRing }
  readonly transactions: Transactions
  readonly pendings: PendingSignIns
  readonly askedFor: AskedFor
  readonly secondPasses: SecondPasses
  readonly limits: Limits
  readonly transport: Exchange['transport']
  readonly timeoutMs: number
  /** Our cookies under both names that they can have, for requests without a connection. */
  readonly jars: readonly CookieJar[]
  readonly texts: (req: Request) => Texts
  /** The app's brand for this request, checked. */
  readonly brand: (req: Request) => Brand | null
  readonly renderPage: RenderPage | undefined
  readonly hiddenFields: (req: Request) => Readonly<Record<string, string>>
  /** Calls the audit hook, if there is one. */
  readonly emit: ((event: SignInEvent) => void) | undefined
  /** Reports a fault to those who can fix it. */
  readonly report: (error: BitbucketSignInError, req: Request) => void
}
