import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { hashPassword } from '../accounts/passwords.js'
import { findRowByEmail, identitiesOf, insertUser } from '../accounts/users.js'
import type { ConnectionSettings } from '../bitbucket/settings.js'
import { type Config, DEMO_ADMIN, DEMO_PASSWORD } from '../config.js'
import { type Db, refusedBy } from '../database/database.js'
import type { Demo } from '../web/scenarios.js'

/** The app's client at the fake Bitbucket. Its secret is public: it opens nothing but the fake. */
export const DEMO_CLIENT = { clientID: 'corkboard-demo', clientSecret: 'corkboard-demo-secret' }
/** The tenant `globex` has its own client, and so its own callback. */
const GLOBEX_CLIENT = { clientID: 'globex-demo', clientSecret: 'globex-demo-secret' }

/** Starts the fake Bitbucket next to the app, with one client for the product and one for the tenant globex. */
export function startFake(config: Config): Promise<FakeBitbucket> {
  const scopes = ['account', 'email', 'repository', 'pullrequest']
  const callbackOn = (host: string) => `${config.baseURL.protocol}//${host}/auth/bitbucket/callback`
  return startFakeBitbucket({
    port: config.fake.port,
    clients: [
      { ...DEMO_CLIENT, name: 'Corkboard', callbackURL: callbackOn(config.baseURL.host), scopes },
      {
        ...GLOBEX_CLIENT,
        name: 'Corkboard for Globex',
        callbackURL: callbackOn(`globex.${config.baseURL.host}`),
        scopes,
      },
    ],
  })
}

/** What the demo changes at the fake Bitbucket. */
export function demoOf(bitbucket: FakeBitbucket, db: Db, resetLimits: () => void): Demo {
  let down = false
  return {
    bitbucket,
    resetLimits,
    isDown: () => down,
    setDown(next) {
      down = next
      if (down) bitbucket.script('token', { status: 503, html: '<h1>Bitbucket is down</h1>' })
      else bitbucket.clearScripts('token')
    },
    async leaveWorkspaces(userId) {
      const identities = await identitiesOf(db, userId)
      const mine = bitbucket.people.filter(({ uuid }) => identities.some((each) => each.provider_user_id === uuid))
      for (const { key } of mine) bitbucket.updatePerson(key, { workspaces: [] })
    },
  }
}

/** What is there when a newcomer looks around for the first time. Processes that start together do it once. */
export async function furnish(db: Db, settings: ConnectionSettings, config: Config): Promise<void> {
  // Never for an ADMIN_EMAIL: an account with a public password must not hold a real user's address.
  if (await findRowByEmail(db, DEMO_ADMIN)) return
  const passwordHash = await hashPassword(DEMO_PASSWORD)
  const body = 'Welcome. Sign in to pin a note; the scenarios show what the sign-in can do.'
  try {
    await db.transaction().execute(async (trx) => {
      const user = await insertUser(trx, { name: 'Ada Admin', email: DEMO_ADMIN, emailVerified: true, passwordHash })
      const note = { id: user.id, tenant: '', user_id: user.id, body, created_at: new Date().toISOString() }
      await trx.insertInto('notes').values(note).execute()
    })
  } catch (error) {
    if (refusedBy(error) !== 'users') throw error
  }
  if (config.tenants.includes('globex')) {
    await settings.save('globex', { clientID: GLOBEX_CLIENT.clientID }, GLOBEX_CLIENT.clientSecret)
  }
}
