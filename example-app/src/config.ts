import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { z } from 'zod'

/** Everything the app can be told from outside, checked once at the start. */
export type Config = ReturnType<typeof readConfig>

/** The administrator of the demo. */
export const DEMO_ADMIN = 'admin@corkboard.example'
/** The password of every account that the demo makes. Printed on the sign-in page. */
export const DEMO_PASSWORD = 'corkboard-demo'

/** Where a bad or missing setting is named; `server.ts` prints it and ends with a non-zero status. */
export class ConfigError extends Error {}

const port = z
  .string()
  .regex(/^\d{1,5}$/, { error: 'must be a port number' })
  .transform(Number)
  .refine((value) => value <= 65_535, { error: 'must be a port number' })
// Strict on purpose: "False" or "0" must not end up as a truthy string that switches trust on.
const flag = z.enum(['true', 'false'], { error: 'must be true or false' }).transform((value) => value === 'true')
const url = (...protocols: string[]) =>
  z.string().refine((value) => URL.canParse(value) && protocols.includes(new URL(value).protocol), {
    error: `must be a URL that starts with ${protocols.map((each) => `${each}//`).join(' or ')}`,
  })
const labels = z
  .string()
  .regex(/^[a-z0-9-]+(,[a-z0-9-]+)*$/, { error: 'must be host labels separated by commas, like acme,globex' })
  .transform((value) => value.split(','))

const customDomains = z
  .string()
  .toLowerCase()
  .regex(/^[a-z0-9.-]+(=[a-z0-9-]+)?(,[a-z0-9.-]+(=[a-z0-9-]+)?)*$/, {
    error: 'must be host names separated by commas, for a tenant with its label: notes.example.com,login.acme.com=acme',
  })
  .transform((value) => value.split(',').map(domain))

function domain(text: string): { host: string; tenant: string | null } {
  const [host = '', tenant = null] = text.split('=')
  return { host, tenant }
}

const schema = z.object({
  NODE_ENV: z.enum(['development', 'test', 'production']).default('development'),
  HOST: z.string().optional(),
  PORT: port.default(3000),
  BASE_URL: url('http:', 'https:').optional(),
  SESSION_SECRET: z
    .string()
    .transform((value) => value.split(',').map((each) => each.trim()))
    .refine((all) => all.every((each) => each.length >= 32), {
      error: 'must have at least 32 characters; several, newest first, are separated by commas',
    })
    .optional(),
  TRUSTED_PROVIDER: flag.default(false),
  KEEP_TOKENS: flag.default(false),
  DATA_DIR: z.string().default('./data'),
  DATABASE_URL: url('postgres:', 'postgresql:').optional(),
  REDIS_URL: url('redis:', 'rediss:').optional(),
  SMTP_URL: url('smtp:', 'smtps:').optional(),
  MAIL_FROM: z.string().default('Corkboard <no-reply@corkboard.example>'),
  ADMIN_EMAIL: z.email().optional(),
  TENANTS: labels.optional(),
  CUSTOM_DOMAINS: customDomains.optional(),
  // A number of hops or a list of addresses. Not `true`: that would believe X-Forwarded-For of everybody.
  TRUST_PROXY: z
    .string()
    .refine((value) => value !== 'true', {
      error: 'must be a number of proxies or a list of their addresses, not true',
    })
    .transform((value) => (/^\d+$/.test(value) ? Number(value) : value))
    .optional(),
  BITBUCKET_CLIENT_ID: z.string().optional(),
  BITBUCKET_CLIENT_SECRET: z.string().optional(),
  FAKE_BITBUCKET_PORT: port.default(3001),
  FAKE_BITBUCKET_URL: url('http:').optional(),
  MEMBERSHIP_SECONDS: z
    .string()
    .regex(/^\d{1,8},\d{1,8}$/, { error: 'must be two numbers of seconds, like 28800,14400' })
    .transform((value) => value.split(',').map(Number))
    .optional(),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('info'),
})

/** Reads the environment, and `.env` in the working directory for what the environment does not say. */
export function loadConfig() {
  if (existsSync('.env')) process.loadEnvFile('.env')
  return readConfig(process.env)
}

function readConfig(environment: NodeJS.ProcessEnv) {
  // `SMTP_URL=` in a .env file means "not set".
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''))
  const result = schema.safeParse(given)
  if (!result.success) {
    throw new ConfigError(result.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`).join('\n'))
  }
  const env = result.data
  const production = env.NODE_ENV === 'production'
  const baseURL = new URL(env.BASE_URL ?? `http://localhost:${env.PORT}`)
  const hasClient = env.BITBUCKET_CLIENT_ID !== undefined
  const secure = baseURL.protocol === 'https:'
  const fake = env.FAKE_BITBUCKET_URL !== undefined || !hasClient
  // The demo is short, so that a newcomer sees it happen.
  const [maxAge = 0, grace = 0] = env.MEMBERSHIP_SECONDS ?? (fake ? [15, 45] : [8 * 3600, 4 * 3600])
  const tenants = env.TENANTS ?? (production ? [] : ['acme', 'globex'])

  refuse(maxAge === 0, 'MEMBERSHIP_SECONDS must begin with a number above 0')
  refuse(
    (env.BITBUCKET_CLIENT_SECRET !== undefined) !== hasClient,
    'BITBUCKET_CLIENT_ID and BITBUCKET_CLIENT_SECRET belong together',
  )
  refuse(
    baseURL.pathname !== '/' || baseURL.search !== '',
    'BASE_URL must be an origin like https://app.example.com, without a path',
  )
  const unknown = env.CUSTOM_DOMAINS?.find(({ tenant }) => tenant !== null && !tenants.includes(tenant))
  refuse(unknown !== undefined, `CUSTOM_DOMAINS names the tenant ${unknown?.tenant}, which is not in TENANTS`)
  if (production) {
    refuse(fake, 'BITBUCKET_CLIENT_ID is missing: the fake Bitbucket signs anybody in and does not run in production')
    refuse(!env.SESSION_SECRET, 'SESSION_SECRET is missing: production has no default secret')
    refuse(!env.SMTP_URL, 'SMTP_URL is missing: production has no mailbox page')
    refuse(!env.BASE_URL, 'BASE_URL is missing: the public address people type')
  }

  const dataDir = resolve(env.DATA_DIR)
  return {
    production,
    /** The fake Bitbucket stands in: made-up people, scenarios, a demo administrator. */
    demo: fake,
    /** Outside production this machine alone: everybody may read the mailbox page, and knows the demo's password. */
    host: env.HOST ?? (production ? undefined : '127.0.0.1'),
    port: env.PORT,
    baseURL,
    /** Served over https: cookies are marked so, and the session's name keeps other hosts from planting it. */
    secure,
    sessionCookie: secure ? '__Host-sid' : 'sid',
    secrets: env.SESSION_SECRET ?? [localSecret(dataDir)],
    trustedProvider: env.TRUSTED_PROVIDER,
    /** For an app that calls Bitbucket's API. A sign-in needs none, and what is not stored cannot leak. */
    keepTokens: env.KEEP_TOKENS,
    dataDir,
    databaseURL: env.DATABASE_URL,
    redisURL: env.REDIS_URL,
    smtpURL: env.SMTP_URL,
    /** Development without a mail server: mails end at `/dev/mailbox`. */
    hasMailbox: !production && env.SMTP_URL === undefined,
    mailFrom: env.MAIL_FROM,
    adminEmail: (env.ADMIN_EMAIL ?? (fake ? DEMO_ADMIN : undefined))?.toLowerCase(),
    tenants,
    /** Further host names of the product and of its tenants. */
    customDomains:
      env.CUSTOM_DOMAINS ?? (fake ? [domain('corkboard.localhost'), domain('acme-notes.localhost=acme')] : []),
    trustProxy: env.TRUST_PROXY,
    client: hasClient ? { id: env.BITBUCKET_CLIENT_ID ?? '', secret: env.BITBUCKET_CLIENT_SECRET ?? '' } : null,
    fake: { port: env.FAKE_BITBUCKET_PORT, url: env.FAKE_BITBUCKET_URL },
    /** How old Bitbucket's word about a membership may be, and how much longer it holds while Bitbucket is down. */
    membership: { maxAgeMs: maxAge * 1000, graceMs: grace * 1000 },
    logLevel: env.LOG_LEVEL,
  }
}

function refuse(wrong: boolean, message: string): void {
  if (wrong) throw new ConfigError(message)
}

/** Development needs no setup: the secret is created once and kept next to the data, so that sessions outlive a restart. */
function localSecret(dataDir: string): string {
  const file = join(dataDir, 'session-secret')
  mkdirSync(dataDir, { recursive: true })
  try {
    writeFileSync(file, randomBytes(32).toString('base64url'), { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return readFileSync(file, 'utf8')
}
