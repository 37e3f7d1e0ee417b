import passport from 'passport'
import {
  type BitbucketSignIn,
  bitbucketSignIn,
  connections,
  german,
  type LimiterFactory,
} from 'passport-bitbucket-signin'
import type { Activity } from '../accounts/activity.js'
import { accountHooks } from '../accounts/hooks.js'
import { signedInAt } from '../accounts/signed-in-at.js'
import type { User } from '../accounts/users.js'
import type { Config } from '../config.js'
import type { Db } from '../database/database.js'
import type { Log } from '../log.js'
import type { Mailer } from '../mail.js'
import type { Sealer } from '../seal.js'
import { languageOf } from '../web/language.js'
import { placeOf } from './places.js'
import type { ConnectionSettings } from './settings.js'
import { sayUnreachable } from './unreachable.js'

interface Parts {
  readonly config: Config
  readonly db: Db
  readonly sealer: Sealer
  readonly settings: ConnectionSettings
  readonly mailer: Mailer
  readonly activity: Activity
  readonly counters: LimiterFactory | null
  readonly log: Log
}

/** No tenant has such a name. */
const NOWHERE = { tenant: 'not one of our hosts' }

/** "Sign in with Bitbucket", wired to this app: whose connection, which accounts, how codes are mailed, what is noted. */
export function setUpBitbucket({
  config,
  db,
  sealer,
  settings,
  mailer,
  activity,
  counters,
  log,
}: Parts): BitbucketSignIn {
  const { storeTokens, ...accounts } = sayUnreachable(accountHooks(db, sealer))
  const levels = sayUnreachable({
    default: () => settings.default(),
    tenants: (tenant: string) => settings.tenant(tenant),
  })
  return bitbucketSignIn<User>({
    passport,
    secrets: config.secrets,
    connection: connections({
      ...levels,
      tenantIds: () => config.tenants,
      // Not `null` where the host is not ours: that would be the application level, for everybody.
      tenant: (req) => (placeOf(req, config) ?? NOWHERE).tenant,
      application: (req) => placeOf(req, config)?.application ?? null,
    }),
    // Only this app's administrators can set a tenant's client; tenants have no settings page of their own.
    tenantClients: 'ours',
    accounts: config.keepTokens ? { ...accounts, storeTokens } : accounts,
    sendEmailCode: ({ to, code, maskedIdentity }) =>
      mailer.send({
        to,
        subject: 'Your code for Corkboard',
        text: `${code}\n\nType this code where you signed in to Corkboard with the Bitbucket account ${maskedIdentity}. It works for 10 minutes.\n\nIf that was not you, ignore this mail. Give the code to nobody: with it they could pass this address off as their own.`,
      }),
    signedInAt,
    paths: { signedIn: '/', signIn: '/sign-in', confirm: '/sign-in' },
    // Confirming with Bitbucket must not lose what an administrator entered.
    session: { keep: ['connectionDraft'] },
    texts: (req) => (languageOf(req) === 'de' ? german : {}),
    brand: (req) => {
      const tenant = placeOf(req, config)?.tenant
      return { name: tenant ? `Corkboard for ${tenant}` : 'Corkboard', logo: '/icon.svg', accent: '#9c431e' }
    },
    ...(counters && { limiter: counters }),
    onError: (error) => log.error({ errorCode: error.code, err: error }, 'sign-in with Bitbucket'),
    onEvent: (event) => {
      if (event.type === 'started') return
      const reason = event.code === null ? '' : `: ${event.code.replaceAll('_', ' ')}`
      activity.record(event.type, event.userId, event.tenant, `Bitbucket${reason}`)
    },
  })
}
