import type { Connection, ConnectionOverride } from 'passport-bitbucket-signin'
import { z } from 'zod'
import type { Config } from '../config.js'
import type { Db } from '../database/database.js'
import type { Sealer } from '../seal.js'
import { allPlaces, originOf } from './places.js'

/** What the administrator may set at each level. What is left out is inherited from the level above. */
export const settingsSchema = z.object({
  enabled: z.boolean().exactOptional(),
  trustedProvider: z.boolean().exactOptional(),
  signUp: z.boolean().exactOptional(),
  visible: z.boolean().exactOptional(),
  clientID: z.string().exactOptional(),
  applications: z.array(z.string()).exactOptional(),
  scope: z.array(z.string()).exactOptional(),
  workspaces: z.array(z.string()).exactOptional(),
})
export type Settings = z.infer<typeof settingsSchema>
/** Every value, inherited or own. */
export type CompleteSettings = { [Name in keyof Settings]-?: NonNullable<Settings[Name]> }

/** One level as it is stored; of the secret only whether there is one. */
export interface Level {
  readonly settings: Settings
  readonly hasSecret: boolean
}

/**
 * The Bitbucket connection, in three levels: environment, the saved application level (`default`), one for each tenant.
 * Read from the database at every sign-in, so a change is in effect with the next request, in every process.
 */
export class ConnectionSettings {
  constructor(
    private readonly config: Config,
    private readonly db: Db,
    private readonly sealer: Sealer,
    /** Where the fake Bitbucket is and its client, or the real client from the environment. */
    private readonly environment: Pick<Connection, 'clientID' | 'clientSecret'> &
      Partial<Pick<Connection, 'endpoints'>>,
  ) {}

  async level(level: string): Promise<Level> {
    const row = await this.db.selectFrom('connections').selectAll().where('level', '=', level).executeTakeFirst()
    if (!row) return { settings: {}, hasSecret: false }
    return { settings: settingsSchema.parse(JSON.parse(row.settings)), hasSecret: row.client_secret !== null }
  }

  /** Saves a level. `secret`: a new one, `null` = none any more, `undefined` = keep. */
  async save(level: string, settings: Settings, secret?: string | null): Promise<void> {
    const row = {
      settings: JSON.stringify(settings),
      updated_at: new Date().toISOString(),
      ...(secret !== undefined && {
        client_secret: secret === null ? null : this.sealer.seal('client-secret', secret),
      }),
    }
    await this.db
      .insertInto('connections')
      .values({ level, client_secret: null, ...row })
      .onConflict((conflict) => conflict.column('level').doUpdateSet(row))
      .execute()
  }

  /** What the levels inherit from: the environment. */
  get inherited(): CompleteSettings {
    return {
      enabled: true,
      trustedProvider: this.config.trustedProvider,
      signUp: true,
      visible: true,
      clientID: this.environment.clientID,
      applications: ['board', 'desk'],
      scope: [],
      workspaces: [],
    }
  }

  /** The application level with what it inherits, without secrets. */
  async effectiveDefault(): Promise<CompleteSettings> {
    return { ...this.inherited, ...(await this.level('default')).settings }
  }

  /** What holds at a level in the end. */
  async effective(level: string): Promise<Connection> {
    const base = await this.default()
    return level === 'default' ? base : { ...base, ...(await this.tenant(level)) }
  }

  /** The application level, as `connections()` of the package wants it. */
  async default(): Promise<Connection> {
    const own = await this.#saved('default')
    return {
      ...this.environment,
      ...this.inherited,
      ...own,
      callbackURL: `${this.config.baseURL.origin}/auth/bitbucket/callback`,
      // Every host of ours may start and end a sign-in; the one callback at Bitbucket hands over to it.
      origins: allPlaces(this.config).map((place) => originOf(place, this.config)),
    }
  }

  /**
   * What a tenant says otherwise, `null` = no such tenant. One with its own client at Bitbucket has its own callback
   * on its own host.
   */
  async tenant(tenant: string): Promise<ConnectionOverride | null> {
    if (!this.config.tenants.includes(tenant)) return null
    const own = await this.#saved(tenant)
    const origin = originOf({ tenant, application: 'board' }, this.config)
    return own.clientID ? { ...own, callbackURL: `${origin}/auth/bitbucket/callback` } : own
  }

  async #saved(level: string): Promise<Settings & { clientSecret?: string }> {
    const row = await this.db.selectFrom('connections').selectAll().where('level', '=', level).executeTakeFirst()
    if (!row) return {}
    const clientSecret = row.client_secret === null ? null : this.sealer.open('client-secret', row.client_secret)
    return { ...settingsSchema.parse(JSON.parse(row.settings)), ...(clientSecret !== null && { clientSecret }) }
  }
}
