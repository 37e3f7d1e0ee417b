import {
  type Connection,
  type ConnectionOverride,
  type ConnectionResolver,
  type ConnectionsOptions,
  connections,
} from 'passport-bitbucket-signin'
import type { FakeClientOptions } from 'passport-bitbucket-signin/testing'
import { startTestApp, type TestApp, type TestAppOptions } from './app'
import { type Answer, TestBrowser } from './browser'
import { errorOf } from './steps'

/** The rows that `connections()` reads: change them while the site runs, as an operator would. */
export interface Rows {
  default: Connection | null
  tenants: Record<string, ConnectionOverride>
}

/** A test app that is reached under many names, `<name>.localhost`. */
export interface Site extends TestApp {
  readonly rows: Rows
  /** `http://<name>.localhost:<port>` */
  at(name: string): string
  /** Start at one of the names. */
  startAt(browser: TestBrowser, name: string): Promise<Answer>
  /** Start, consent, and every redirect until a page or the app is reached. */
  signInAt(browser: TestBrowser, name: string, person: string): Promise<{ answer: Answer; url: string }>
  /** The offer and button of a sign-in page at one of the names. */
  shownAt(name: string, browser?: TestBrowser): Promise<{ offered: boolean; button: string }>
  /** The user who is signed in at one of the names. */
  meAt(browser: TestBrowser, name: string): Promise<string | null>
}

/** Options of a site. */
export interface SiteOptions extends Omit<TestAppOptions, 'connection' | 'resolver'> {
  /** The first rows. Default: the application level alone, with its callback at `login`. */
  readonly rows?: (at: Site['at'], defaults: Connection) => Partial<Rows>
  readonly more?: Omit<ConnectionsOptions, 'default' | 'tenants'>
  readonly resolver?: (at: Site['at'], rows: Rows, defaults: Connection) => ConnectionResolver
}

/** Every name is the tenant of that name, `login` and `www` are none. */
export const tenantOfHost: NonNullable<ConnectionsOptions['tenant']> = ({ hostname }) => {
  const name = hostname.replace(/\.localhost$/, '')
  return ['login', 'www', '127.0.0.1'].includes(name) ? null : name
}

export async function startSite({ rows: first, more, resolver, ...options }: SiteOptions = {}): Promise<Site> {
  let at: Site['at'] = () => ''
  let rows: Rows = { default: null, tenants: {} }
  const app = await startTestApp({
    ...options,
    // `tenantClients` is the subject of whose-client.test.ts; everywhere else operators set the clients.
    options: { tenantClients: 'ours', ...options.options },
    before(app, bitbucket) {
      app.get('/shown', async (req, res) => {
        res.json({ offered: await bitbucket.offered(req), button: await bitbucket.button(req, { returnTo: '/here' }) })
      })
      options.before?.(app, bitbucket)
    },
    resolver: (defaults) => {
      const { port } = new URL(defaults.callbackURL)
      at = (name) => `http://${name}.localhost:${port}`
      const central = { ...defaults, callbackURL: `${at('login')}/auth/bitbucket/callback` }
      rows = { default: central, tenants: {}, ...first?.(at, central) }
      if (resolver) return resolver(at, rows, central)
      return connections({
        default: () => rows.default,
        tenants: (id) => (Object.hasOwn(rows.tenants, id) ? (rows.tenants[id] ?? null) : null),
        tenant: tenantOfHost,
        ...more,
      })
    },
  })
  const site: Site = {
    ...app,
    rows,
    at,
    startAt: (browser, name) => browser.get(`${at(name)}/auth/bitbucket`),
    async signInAt(browser, name, person) {
      const started = await site.startAt(browser, name)
      const url = await app.fake.signIn(started.location, { person })
      return browser.follow(await browser.get(url), url)
    },
    async shownAt(name, browser = new TestBrowser()) {
      return (await browser.get(`${at(name)}/shown`)).json() as { offered: boolean; button: string }
    },
    async meAt(browser, name) {
      return (await browser.get(`${at(name)}/me`)).json().user as string | null
    },
  }
  return site
}

/** An OAuth client of its own, with its callback at a name of the site. */
export function clientAt(site: Pick<Site, 'at' | 'fake'>, name: string, more: Partial<FakeClientOptions> = {}) {
  const callbackURL = `${site.at(name)}/auth/bitbucket/callback`
  const client = { clientID: `${name}-key`, clientSecret: `${name}-secret`, callbackURL }
  site.fake.addClient({ ...client, ...more })
  // Own credentials inherit no trust.
  return { ...client, trustedProvider: true }
}

/** The status and error code of a refusal page. */
export function refusalOf(answer: Answer): { status: number; code: string | undefined } {
  return { status: answer.status, code: errorOf(answer) ?? undefined }
}

export { TestBrowser }
