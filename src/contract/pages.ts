import type { Request } from 'express'
import type { Brand } from './brand'
import type { ErrorCode } from './errors'
import type { Texts } from './texts'

/** One of our forms: the path that it posts to, and its hidden fields. */
export interface PageForm {
  /** Path on this origin. Method is always POST. */
  readonly action: string
  /** Hidden fields by name: ours, and those of the app's `hiddenFields`. */
  readonly fields: Readonly<Record<string, string>>
}

/** Fields of every page. */
interface PageBase {
  /** The texts of all pages, in the language of this request. */
  readonly texts: Texts
  /** Name, logo and accent of the app, `null` without the option `brand`. */
  readonly brand: Brand | null
}

/** A refusal or fault, with the links that can help. */
export interface ErrorPage extends PageBase {
  /** Identifies the page. */
  readonly name: 'error'
  /** The error code. */
  readonly code: ErrorCode
  /** HTTP status of the answer. */
  readonly status: number
  /** Retries the same step with the requested page; `null` if that cannot help. */
  readonly retryHref: string | null
  /** The app's own sign-in page, or the page to go back to. */
  readonly backHref: string
}

/** Asks for an address, because Bitbucket named none. */
export interface EmailAddressPage extends PageBase {
  /** Identifies the page. */
  readonly name: 'email-address'
  /** Display name of the Bitbucket account. */
  readonly displayName: string
  /** Why the last attempt was refused, `null` on the first. */
  readonly error: ErrorCode | null
  /** The address that was typed and refused, to be corrected; otherwise empty. */
  readonly typedAddress: string
  /** The user fills in: `address`. */
  readonly submit: PageForm
  /** Drops the pending sign-in. */
  readonly cancel: PageForm
}

/**
 * `sent`; `unsure` = handed to the mailer, which failed or was slow: a code works in either case. `none` = no code that works
 * in this browser: none was sent yet, it expired, or it was tried too often.
 */
export type CodeDelivery = 'sent' | 'unsure' | 'none'

/** Asks for the code that was emailed, or is about to be. */
export interface EmailCodePage extends PageBase {
  /** Identifies the page. */
  readonly name: 'email-code'
  /** Display name of the Bitbucket account. */
  readonly displayName: string
  /** For example `v***@example.com`; unmasked if the user typed it. */
  readonly maskedAddress: string
  /** Whether the code was emailed. */
  readonly delivery: CodeDelivery
  /** Whether `delivery` is `sent`. */
  readonly codeSent: boolean
  /**
   * Why no code can be sent now. `paused`: another attempt requested one less than a minute ago. `limited`: the limits of
   * the user or the address are reached. `null` otherwise.
   */
  readonly notSentReason: 'paused' | 'limited' | null
  /** Seconds until another code can be requested; 0 = now. */
  readonly resendInSeconds: number
  /** Why the last attempt was refused, `null` on the first. */
  readonly error: ErrorCode | null
  /** The other address that was typed and refused, to be corrected; otherwise empty. */
  readonly typedAddress: string
  /** The user fills in: `code`. */
  readonly verify: PageForm
  /** Emails a new code. */
  readonly resend: PageForm
  /** Set when the user typed the address and may type another. Field: `address`. */
  readonly changeAddress: PageForm | null
  /** Drops the pending sign-in. */
  readonly cancel: PageForm
}

/** The address belongs to an account: asks to sign in to it first. Names no account. */
export interface ProvePage extends PageBase {
  /** Identifies the page. */
  readonly name: 'prove'
  /** Display name of the Bitbucket account. */
  readonly displayName: string
  /** The address with its local part hidden, for example `v***@example.com`. */
  readonly maskedAddress: string
  /** The app's own sign-in page. */
  readonly signInHref: string
  /** Drops the pending sign-in. */
  readonly cancel: PageForm
}

/** Signed in to the matching account: asks to confirm the link. */
export interface ConfirmLinkPage extends PageBase {
  /** Identifies the page. */
  readonly name: 'confirm-link'
  /** Display name of the Bitbucket account. */
  readonly displayName: string
  /** `nickname` or name by which Bitbucket shows the identity. */
  readonly identityLabel: string
  /** Name of the account here, from `describeUser`. */
  readonly accountLabel: string
  /** Links the identity to the account. */
  readonly confirm: PageForm
  /** Drops the pending sign-in. */
  readonly cancel: PageForm
}

/** A signed-in user came back from Bitbucket with an unknown identity: link it to this account, or switch? */
export interface ChoosePage extends PageBase {
  /** Identifies the page. */
  readonly name: 'choose'
  /** Display name of the Bitbucket account. */
  readonly displayName: string
  /** Nickname or name of the Bitbucket account. */
  readonly identityLabel: string
  /** Name of the account here, from `describeUser`. */
  readonly accountLabel: string
  /** `null` if the app cannot link. */
  readonly link: PageForm | null
  /** Signs out and signs in as the user of the Bitbucket account. */
  readonly switch: PageForm
  /** Drops the pending sign-in. */
  readonly cancel: PageForm
}

/** A signed-in user came back from Bitbucket as another user: switch? Discloses nothing about that user. */
export interface SwitchPage extends PageBase {
  /** Identifies the page. */
  readonly name: 'switch'
  /** Display name of the Bitbucket account. */
  readonly displayName: string
  /** Nickname or name of the Bitbucket account. */
  readonly identityLabel: string
  /** Name of the account here, from `describeUser`. */
  readonly accountLabel: string
  /** Signs out and signs in as the user of the Bitbucket account. */
  readonly switch: PageForm
  /** Drops the pending sign-in. */
  readonly cancel: PageForm
}

/** Starts linking for the signed-in user, and lists the linked identities. */
export interface LinkPage extends PageBase {
  /** Identifies the page. */
  readonly name: 'link'
  /** Name of the account here, from `describeUser`. */
  readonly accountLabel: string
  /** The linked identities: a name for each, and the form that unlinks it, `null` if unlinking is not offered. */
  readonly linked: readonly { readonly label: string; readonly unlink: PageForm | null }[]
  /** `null` when no further identity may be linked. */
  readonly link: PageForm | null
  /** The page to go back to. */
  readonly backHref: string
}

/** Asks the signed-in user to confirm with Bitbucket before a sensitive step. */
export interface ReauthenticatePage extends PageBase {
  /** Identifies the page. */
  readonly name: 'reauthenticate'
  /** Name of the account here, from `describeUser`. */
  readonly accountLabel: string
  /** Redirects to Bitbucket to confirm. */
  readonly start: PageForm
  /** Confirms in the app's own way, if Bitbucket is unavailable. */
  readonly otherHref: string
  /** Whether `otherHref` signs out first, because the app has no page to confirm. */
  readonly otherSignsOut: boolean
  /** The page to go back to. */
  readonly backHref: string
}

/** Asks the signed-in user to confirm with Bitbucket that they are still a member of the workspace. */
export interface MembershipPage extends PageBase {
  /** Identifies the page. */
  readonly name: 'membership'
  /** Name of the account here, from `describeUser`. */
  readonly accountLabel: string
  /** Redirects to Bitbucket to confirm. */
  readonly start: PageForm
  /** Continues without Bitbucket for a while; `null` when the grace period is over. */
  readonly goOn: PageForm | null
  /** The page to go back to. */
  readonly backHref: string
}

/**
 * Asks the signed-in user to sign out and sign in again: before a sensitive step, or after a sign-in to another account
 * than the one that had to be proven.
 */
export interface SignInAgainPage extends PageBase {
  /** Identifies the page. */
  readonly name: 'sign-in-again'
  /** `account_exists` after a sign-in to another account, `null` otherwise. */
  readonly error: 'account_exists' | null
  /** Name of the account here, from `describeUser`. */
  readonly accountLabel: string
  /** Signs out and shows the sign-in page. */
  readonly signOut: PageForm
  /** The page to go back to; with an `error`, where the signed-in user continues. */
  readonly backHref: string
}

/** An inert page that reloads itself once, so that a SameSite=Strict session cookie is sent. */
export interface ResumePage extends PageBase {
  /** Identifies the page. */
  readonly name: 'resume'
  /** The path to load, once. */
  readonly href: string
}

/** The content of a page; `name` identifies the page. */
export type Page =
  | ErrorPage
  | EmailAddressPage
  | EmailCodePage
  | ProvePage
  | ConfirmLinkPage
  | ChoosePage
  | SwitchPage
  | LinkPage
  | ReauthenticatePage
  | MembershipPage
  | SignInAgainPage
  | ResumePage

/** Names of the pages. */
export type PageName = Page['name']

/** The third argument of `renderPage`. */
export interface RenderPageContext {
  /** The request that is being answered. */
  readonly req: Request
  /** Returns the built-in page as a whole document, to add something to it. */
  readonly builtIn: () => string
}

/**
 * Replaces pages. Return the HTML of a whole document, or `undefined` to keep the built-in page of that name.
 * Escape everything you insert: strangers choose their display names.
 *
 * @example
 * renderPage: (name, page, { builtIn }) =>
 *   name === 'email-code' ? builtIn().replace('</main>', '<p><a href="/help">Help</a></p></main>') : undefined
 */
export type RenderPage = (
  name: PageName,
  page: Page,
  context: RenderPageContext,
) => string | undefined | Promise<string | undefined>
