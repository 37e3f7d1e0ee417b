import {
  type Connection,
  type ConnectionOverride,
  type ConnectionProblem,
  checkConnection,
} from 'passport-bitbucket-signin'
import { z } from 'zod'
import type { Config } from '../config.js'
import type { Db } from '../database/database.js'
import type { Log } from '../log.js'
import type { Sealer } from '../seal.js'
import { APPLICATIONS, domainsOf, everyDomain } from './places.js'

/** What the administrator may set at each level. What is left out is inherited from the level above. */
export const settingsSchema = z.object({
  enabled: z.boolean().exactOptional(),
  trustedProvider: z.boolean().exactOptional(),
  signUp: z.boolean().exactOptional(),
  visible: z.boolean().exactOptional(),
  clientID: z.string().exactOptional(),
  /** Origin of the callback URL, one of the level's domains. */
  callbackDomain: z.string().exactOptional(),
  applications: z.array(z.enum(APPLICATIONS)).exactOptional(),
  scope: z.array(z.string()).exactOptional(),
  workspaces: z.array(z.string().transform(workspaceName)).exactOptional(),
})
export type Settings = z.infer<typeof settingsSchema>
/** Every value, inherited or own. */
export type CompleteSettings = { [Name in keyof Settings]-?: NonNullable<Settings[Name]> }

/** One level as it is stored; of the secret only whether there is one. */
export interface Level {
  readonly settings: Settings
  readonly hasSecret: boolean
  /** Why stored values cannot be used. */
  readonly problems: readonly ConnectionProblem[]
}

export type Status = 'Enabled' | 'Enabled, not shown' | 'Disabled' | 'No application' | 'Needs attention'

/** Can be left out without letting anyone in who should stay out. */
const HARMLESS = ['scope', 'visible']

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
    private readonly log: Log,
  ) {}

  async level(level: string): Promise<Level> {
    const { settings, clientSecret, problems } = await this.#read(level)
    return { settings, hasSecret: clientSecret !== null, problems }
  }

  /** Saves a level. `secret`: a new one, `null` = remove it, `undefined` = keep. */
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
      callbackDomain: this.config.baseURL.origin,
      applications: [...APPLICATIONS],
      scope: [],
      workspaces: [],
    }
  }

  /** The application level with what it inherits, without secrets. */
  async effectiveDefault(): Promise<CompleteSettings> {
    return { ...this.inherited, ...(await this.level('default')).settings }
  }

  /** How many people can sign in with Bitbucket. */
  async people(): Promise<number> {
    const { count } = await this.db
      .selectFrom('identities')
      .select((eb) => eb.fn.count('user_id').distinct().as('count'))
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  /** Whether people can sign in here, for the administrator. */
  async status(level: string): Promise<Status> {
    const [{ settings, problems }, { enabled, visible }] = await Promise.all([this.level(level), this.effective(level)])
    if (settings.applications?.length === 0) return 'No application'
    if (isBroken(problems)) return 'Needs attention'
    if (!enabled) return 'Disabled'
    return visible ? 'Enabled' : 'Enabled, not shown'
  }

  /** What holds at a level in the end. */
  async effective(level: string): Promise<Connection> {
    const base = await this.default()
    return level === 'default' ? base : { ...base, ...(await this.tenant(level)) }
  }

  /** The application level, as `connections()` of the package wants it. */
  async default(): Promise<Connection> {
    const { callbackDomain: inheritedDomain, ...inherited } = this.inherited
    const { callbackDomain = inheritedDomain, ...own } = await this.#usable('default')
    return {
      ...this.environment,
      ...inherited,
      ...own,
      callbackURL: callbackURL(callbackDomain),
      // A sign-in may start and end on each of our domains; the callback at Bitbucket hands over to it.
      origins: everyDomain(this.config),
    }
  }

  /** What a tenant overrides, `null` = no such tenant. A tenant's own client at Bitbucket has its own callback. */
  async tenant(tenant: string): Promise<ConnectionOverride | null> {
    if (!this.config.tenants.includes(tenant)) return null
    // A tenant cannot do without what it inherits: the workspaces that may sign in, for example.
    if (isBroken((await this.#read('default')).problems)) return { enabled: false }
    const { callbackDomain = domainsOf(tenant, this.config)[0], ...own } = await this.#usable(tenant)
    return own.clientID && callbackDomain ? { ...own, callbackURL: callbackURL(callbackDomain) } : own
  }

  /** A row that cannot be used switches off its own level, not the pages and not the other levels. */
  async #usable(level: string): Promise<Settings & { clientSecret?: string }> {
    const { settings, clientSecret, problems } = await this.#read(level)
    if (problems.length > 0) this.log.error({ level, problems }, 'stored connection is invalid')
    if (isBroken(problems)) return { enabled: false }
    const valid = Object.entries(settings).filter(([name]) => !problems.some(({ field }) => field === name))
    return { ...(Object.fromEntries(valid) as Settings), ...(clientSecret !== null && { clientSecret }) }
  }

  async #read(level: string) {
    const row = await this.db.selectFrom('connections').selectAll().where('level', '=', level).executeTakeFirst()
    const clientSecret = row?.client_secret ? this.sealer.open('client-secret', row.client_secret) : null
    const { settings, problems } = readStored(row?.settings ?? '{}')
    const domains = domainsOf(level === 'default' ? null : level, this.config)
    return { settings, clientSecret, problems: [...problems, ...settingsProblems(settings, clientSecret, domains)] }
  }
}

const isBroken = (problems: readonly ConnectionProblem[]) => problems.some(({ field }) => !HARMLESS.includes(field))

export const callbackURL = (domain: string) => `${domain}/auth/bitbucket/callback`

/** Checks a level by the package's own rules and by ours. */
export function settingsProblems(
  { clientID, scope, workspaces, applications, callbackDomain }: Settings,
  clientSecret: string | null,
  domains: readonly string[],
): ConnectionProblem[] {
  const checked = checkConnection(
    { clientID, clientSecret, scope, workspaces },
    { level: 'tenant', tenantClients: 'ours' },
  )
  const problems = checked.ok ? [] : [...checked.problems]
  const invisible = (text: string | null | undefined) => typeof text === 'string' && !/^[\x21-\x7e]+$/.test(text)
  const report = (field: string, message: string) => problems.unshift({ field, message })
  if (invisible(clientID)) report('clientID', 'Contains a space or an invisible character. Copy it again.')
  if (invisible(clientSecret)) report('clientSecret', 'Contains a space or an invisible character. Copy it again.')
  if (applications?.length === 0) report('applications', 'Choose at least one application, or disable the connection.')
  if (callbackDomain !== undefined && !domains.includes(callbackDomain))
    report('callbackDomain', 'Choose one of the domains listed here.')
  return problems
}

/** Field by field, so that one bad value does not hide the others. */
function readStored(json: string): { settings: Settings; problems: ConnectionProblem[] } {
  const stored = parseObject(json)
  if (!stored)
    return { settings: {}, problems: [{ field: 'settings', message: 'The stored settings are unreadable.' }] }
  const whole = settingsSchema.safeParse(stored)
  if (whole.success) return { settings: whole.data, problems: [] }
  const bad = [...new Set(whole.error.issues.map(({ path }) => String(path[0])))]
  const rest = Object.fromEntries(Object.entries(stored).filter(([name]) => !bad.includes(name)))
  const problems = bad.map((field) => ({ field, message: 'The stored value is invalid. Set it again.' }))
  return { settings: settingsSchema.parse(rest), problems }
}

function parseObject(json: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null
  } catch {
    return null
  }
}

/** Takes the address of a workspace for its name: that is what people copy. */
function workspaceName(text: string): string {
  const [, name] = /^(?:https?:\/\/)?(?:www\.)?bitbucket\.org\/([^/?#]+)/i.exec(text) ?? []
  return name?.replace(/^%7b(.*)%7d$/i, '{$1}') ?? text
}
