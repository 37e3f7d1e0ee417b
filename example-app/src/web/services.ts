import type { BitbucketSignIn } from 'passport-bitbucket-signin'
import type { Activity } from '../accounts/activity.js'
import type { Codes } from '../accounts/codes.js'
import type { KnownBrowsers } from '../accounts/known-browsers.js'
import type { ConnectionSettings } from '../bitbucket/settings.js'
import type { Config } from '../config.js'
import type { Db } from '../database/database.js'
import type { Limits } from '../limits.js'
import type { Log } from '../log.js'
import type { Mailer } from '../mail.js'
import type { Sealer } from '../seal.js'

/** What the routes work with. Made once in `server.ts`. */
export interface Services {
  readonly config: Config
  readonly log: Log
  readonly db: Db
  readonly activity: Activity
  readonly codes: Codes
  readonly limits: Limits
  readonly knownBrowsers: KnownBrowsers
  readonly mailer: Mailer
  readonly settings: ConnectionSettings
  readonly sealer: Sealer
  readonly bitbucket: BitbucketSignIn
  /** Where Bitbucket asks people for consent: bitbucket.org, or the fake. */
  readonly authorizeOrigin: string
  /** `false` once the process received a signal to stop. */
  readonly isOpen: () => boolean
}
