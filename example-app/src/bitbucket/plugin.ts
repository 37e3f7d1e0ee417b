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
import { type Invited, invitationOf } from '../accounts/invitations.js'
import { signedInAt } from '../accounts/signed-in-at.js'
import type { User } from '../accounts/users.js'
import type { Config } from '../config.js'
import type { Db } from '../database/database.js'
import type { Log } from '../log.js'
import type { Mailer } from '../mail.js'
import type { Sealer } from '../seal.js'
import { OUTCOME } from '../views/outcome.js'
import { languageOf } from '../web/language.js'
import { withMailboxLink } from '../web/mailbox.js'
import { codeMail } from './code-mail.js'
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
  return bitbucketSignIn<User, Invited>({
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
    sendEmailCode: (message, req) => mailer.send(codeMail(message, languageOf(req))),
    signedInAt,
    paths: { signedIn: '/', signedUp: '/account', signIn: '/sign-in', confirm: '/sign-in' },
    data: invitationOf,
    // `/account?bitbucket=linked`: the layout says what happened.
    outcomeParameter: OUTCOME,
    // Confirming with Bitbucket must not lose what an administrator entered.
    session: { keep: ['connectionDraft'] },
    texts: (req) => (languageOf(req) === 'de' ? german : {}),
    brand: (req) => {
      const tenant = placeOf(req, config)?.tenant
      return { name: tenant ? `Corkboard for ${tenant}` : 'Corkboard', logo: '/icon.svg', accent: '#9c431e' }
    },
    ...(config.hasMailbox && { renderPage: withMailboxLink }),
    ...(counters && { limiter: counters }),
    onError: (error) => log.error({ errorCode: error.code, err: error }, 'sign-in with Bitbucket'),
    onEvent: (event) => {
      if (event.type === 'started') return
      const reason = event.code === null ? '' : `: ${event.code.replaceAll('_', ' ')}`
      activity.record(event.type, event.userId, event.tenant, `Bitbucket${reason}`)
    },
  })
}
