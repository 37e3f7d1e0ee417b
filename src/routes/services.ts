import type { Request } from 'express'
import type { UserAccess } from '../accounts/account-access'
import type { Transport } from '../bitbucket/transport-parts'
import type { ConnectionSource } from '../connections/connection-source'
import type { BitbucketSignInError } from '../contract/errors'
import type { SignInEvent } from '../contract/events'
import type { AccountHooks } from '../contract/hooks'
import type { EmailCodeMessage } from '../contract/options'
import type { LinkPolicy, SignInPolicy } from '../contract/policy'
import type { AppPages } from '../options/app-functions'
import type { FlowState } from '../state/flow-state'

/** The dependencies of one plugin's routes; made once at construction, never changed. */
export interface Services<User> {
  readonly name: string
  readonly source: ConnectionSource
  /** The app's hooks, and how its users are identified, read, and known to have signed in. */
  readonly users: UserAccess<User> & {
    readonly hooks: AccountHooks<User>
    readonly signedInAt: ((req: Request) => Date | null) | undefined
  }
  readonly sendEmailCode: ((message: EmailCodeMessage, req: Request) => unknown) | undefined
  /** The policy while the connection does not close sign-up. */
  readonly policy: SignInPolicy & LinkPolicy
  readonly paths: {
    readonly signedIn: string
    readonly signedUp: string
    readonly signIn: string
    readonly confirm?: string | undefined
    readonly failed?: string | undefined
  }
  readonly data: ((req: Request) => unknown) | undefined
  readonly outcomeParameter: string | undefined
  /** Session keys carried across rotation. */
  readonly keep: readonly string[]
  /** What is remembered between two requests. */
  readonly state: FlowState
  readonly pages: AppPages
  readonly upstream: { readonly transport: Transport; readonly timeoutMs: number }
  /** Calls the audit hook, if there is one. */
  readonly emit: ((event: SignInEvent) => void) | undefined
  /** Reports a fault to those who can fix it. */
  readonly report: (error: BitbucketSignInError, req: Request) => void
}
