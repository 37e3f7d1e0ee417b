import type { ErrorCode } from './errors'

/**
 * Every text that a user can read: on our pages, in the `message` of a JSON refusal, on the button. Plain text, never
 * HTML. A name in braces is replaced by its value; each text names the ones it may use, and may leave them out.
 */
export interface Texts {
  /** Language of the texts as an HTML `lang` value, for example `en` or `pt-BR`. */
  readonly lang: string
  /** Label of the sign-in button. */
  readonly signInButton: string
  /** What happened and what to do next, one or two sentences for each code: on pages, and as `message` in JSON. */
  readonly errors: Readonly<Record<ErrorCode, string>>
  /** Heading of the page that shows a refusal or fault: what happened, in a few words. */
  readonly errorHeadings: Readonly<Record<ErrorCode, string>>

  /** Shared by several pages. */
  readonly common: {
    /** Title of a page that shows an error: `{title}`. Said first, so that a screen reader announces the error. */
    readonly errorTitle: string
    /** Cancels the pending sign-in. */
    readonly cancel: string
    /** Link to the app's page that this one was reached from. */
    readonly back: string
    /** Names the Bitbucket account in a list of what belongs to whom. */
    readonly bitbucketAccount: string
    /** Names the account of this app in the same list. */
    readonly ownAccount: string
  }
  /** A refusal or fault. */
  readonly error: {
    /** Retries the same step. */
    readonly retry: string
    /** Shown instead of `retry` when the app's own sign-in leads on. */
    readonly signIn: string
    /** Shown instead of `retry` when a recent sign-in is missing. */
    readonly confirm: string
    /** Shown so that users can quote it to support: `{code}`. */
    readonly code: string
  }
  /** Asks for an address, because Bitbucket named none. */
  readonly emailAddress: {
    readonly heading: string
    /** `{displayName}` */
    readonly intro: string
    readonly label: string
    readonly submit: string
  }
  /** Asks for the emailed code. */
  readonly emailCode: {
    /** When a code was emailed. */
    readonly heading: string
    /** `{displayName}`, `{address}` (masked) */
    readonly intro: string
    /** When no code could be sent yet. */
    readonly notSentHeading: string
    /** `{displayName}`, `{address}` (masked) */
    readonly notSentIntro: string
    /** When a code was handed to the mailer, which has not confirmed it: `{displayName}`, `{address}` (masked) */
    readonly unsureIntro: string
    /** Why no code was sent: another attempt asked for one less than a minute ago. */
    readonly pausedReason: string
    /** Why no code was sent: the limits of the user or the address are reached. */
    readonly limitedReason: string
    readonly label: string
    readonly hint: string
    readonly submit: string
    /** Sends the first code. */
    readonly send: string
    /** Sends another code. */
    readonly resend: string
    /** How long until a code may be asked for: `{seconds}`, from 2 to 119. */
    readonly waitSeconds: string
    /** The same for longer: `{minutes}`, from 2 to 119. */
    readonly waitMinutes: string
    /** The same for longer still: `{hours}`, 2 or more. */
    readonly waitHours: string
    /** Opens the form for another address. */
    readonly changeAddress: string
    readonly addressLabel: string
    readonly changeSubmit: string
  }
  /** Asks to sign in to the account that holds the address. */
  readonly prove: {
    readonly heading: string
    /** `{displayName}`, `{address}` (masked) */
    readonly intro: string
    readonly signIn: string
  }
  /** Asks to confirm that the Bitbucket account is linked. */
  readonly confirmLink: {
    readonly heading: string
    readonly intro: string
    /** What the user should know before confirming. */
    readonly warning: string
    readonly submit: string
  }
  /** The user is signed in, and came back from Bitbucket with an unknown identity. */
  readonly choose: {
    readonly heading: string
    /** When the account can be linked. */
    readonly intro: string
    /** When it cannot. */
    readonly introWithoutLink: string
    /** `{account}` */
    readonly link: string
    /** Signs in as the Bitbucket user, in a new session. */
    readonly switch: string
    readonly stay: string
  }
  /** Signed in, and Bitbucket named another user. */
  readonly switch: {
    readonly heading: string
    readonly intro: string
    readonly submit: string
    readonly stay: string
  }
  /** Lists and changes what is linked. */
  readonly link: {
    readonly heading: string
    /** `{account}` */
    readonly signedInAs: string
    /** Heading of the list. */
    readonly linked: string
    /** In place of an empty list. */
    readonly none: string
    readonly submit: string
    readonly unlink: string
  }
  /** Asks to confirm with Bitbucket before a sensitive step. */
  readonly reauthenticate: {
    readonly heading: string
    /** `{account}` */
    readonly intro: string
    readonly submit: string
    /** Link to confirm without Bitbucket. */
    readonly other: string
  }
  /** Asks to confirm with Bitbucket that one is still a member of the workspace. */
  readonly membership: {
    readonly heading: string
    /** `{account}` */
    readonly intro: string
    readonly submit: string
    /** Why there is another button. */
    readonly goOnHint: string
    /** Goes on without Bitbucket. */
    readonly goOn: string
  }
  /** Asks to sign out and sign in again before a sensitive step. */
  readonly signInAgain: {
    readonly heading: string
    /** `{account}` */
    readonly intro: string
    readonly submit: string
    /** Heading for a user who was asked to sign in to one account and signed in to another. */
    readonly otherHeading: string
    /** Why nothing was connected then. */
    readonly otherAccount: string
  }
  /** Shown for a moment while the browser loads the page again. */
  readonly resume: {
    readonly heading: string
    /** For a browser that does not continue automatically. */
    readonly link: string
  }
}

/** Some of the texts, the others stay as they are. */
export type PartialTexts = {
  readonly [Name in keyof Texts]?:
    | (Texts[Name] extends string ? string : { readonly [Key in keyof Texts[Name]]?: string | undefined })
    | undefined
}
