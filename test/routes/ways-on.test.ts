import type { Express } from 'express'
import type { ErrorCode } from 'passport-bitbucket-signin'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'
import { type Answer, formsOf, TestBrowser } from '../support/browser'
import { travel } from '../support/clock'
import { errorOf } from '../support/steps'

/*
 * Walks each of our pages as a user without JavaScript: only links and forms that the page offers, the app's own sign-in,
 * and the mailbox. From each page some walk must end signed in or linked, or the page must truly say that only support can
 * help. Bounded in steps and time.
 */

const BASE = '/auth/bitbucket'
const MINUTE = 60_000
const MAX_VISITS = 60
/** Refusals that the user cannot change; their texts name the support team, or another way to sign in. */
const ONLY_SUPPORT: ReadonlySet<ErrorCode> = new Set(['account_disabled', 'sign_up_disabled', 'configuration_invalid'])

/** The Bitbucket user of a member who has no password. */
const MEMBER = 'carol'

interface Host {
  readonly name: string
  readonly app: TestAppOptions
  /** The app's record of its member. */
  readonly member: Partial<TestUser>
  /** How the app's sign-in page treats a signed-in user, or `none`. */
  readonly signInPage: 'shown' | 'sends-away' | 'none'
}

const policy = (localAddresses: 'verified' | 'unverified' | 'none') => ({ policy: { localAddresses } })
const HOSTS: readonly Host[] = [
  { name: 'passwords, addresses verified', app: {}, member: { emailVerified: true }, signInPage: 'shown' },
  {
    name: 'passwords, addresses only stored',
    app: { without: ['claimAddress'], options: policy('unverified') },
    member: { emailVerified: false },
    signInPage: 'shown',
  },
  {
    name: 'a sign-in page that sends signed-in users away',
    app: {},
    member: { emailVerified: true },
    signInPage: 'sends-away',
  },
  {
    name: 'no sign-in page',
    app: { options: { paths: { signIn: '/' }, policy: { identitiesPerUser: 'many' } } },
    member: { emailVerified: true, password: null },
    signInPage: 'none',
  },
  {
    name: 'users without addresses',
    app: { connection: { trustedProvider: false }, options: policy('none') },
    member: { email: null },
    signInPage: 'shown',
  },
]

/** Brings a browser to one of our pages. */
const PLACES: Readonly<Record<string, (site: Site) => Promise<Answer>>> = {
  denied: async (site) => site.browser.get(await site.consent('alice', 'deny')),
  'unknown callback': (site) => site.get(`${BASE}/callback?code=x&state=unknown`),
  'used callback': async (site) => {
    const callback = await site.consent('alice')
    const past = site.browser.copy()
    await site.browser.get(callback)
    site.browser = past
    return past.get(callback)
  },
  'expired start': async (site) => {
    const callback = await site.consent('alice')
    travel(11 * MINUTE)
    return site.browser.get(callback)
  },
  'code page': async (site) => site.browser.get(await site.consent('frank')),
  'address page': async (site) => site.browser.get(await site.consent('dave')),
  'matching account': async (site) => {
    site.member.email = site.host.member.email === null ? null : 'alice@example.com'
    site.member.emailVerified = false
    return site.browser.get(await site.consent('alice'))
  },
  'nothing pending': (site) => site.get(`${BASE}/email`),
  'nothing to choose': (site) => site.get(`${BASE}/continue`),
  'links, not signed in': (site) => site.get(`${BASE}/link`),
  'links, long after sign-in': async (site) => {
    await site.signInOwn()
    travel(11 * MINUTE)
    return site.get(`${BASE}/link`)
  },
  'choice, long after sign-in': async (site) => {
    await site.signInOwn()
    travel(11 * MINUTE)
    return site.browser.get(await site.consent('alice'))
  },
  'a sensitive page, long after sign-in': async (site) => {
    await site.signInOwn()
    travel(11 * MINUTE)
    return site.get('/secret')
  },
  'links, signed out since': async (site) => {
    await site.signInOwn()
    const page = await site.get(`${BASE}/link`)
    site.browser.jar(site.app.url).delete('connect.sid')
    return page
  },
  'linking, signed out at Bitbucket': async (site) => {
    await site.signInOwn()
    const callback = await fake.signIn((await site.submit('/link', '/link')).location, { person: 'alice' })
    site.browser.jar(site.app.url).delete('connect.sid')
    return site.browser.get(callback)
  },
  'unlinking an identity that is gone': async (site) => {
    await site.signInOwn()
    return site.browser.post(`${site.app.url}${BASE}/unlink`, { id: '{gone}' }, { headers: SUBMITTED })
  },
  'choice, signed out since': async (site) => {
    await site.signInOwn()
    await site.browser.get(await site.consent('alice'))
    site.browser.jar(site.app.url).delete('connect.sid')
    return site.get(`${BASE}/continue`)
  },
  'wrong account at a proof': async (site) => {
    const { email, emailVerified } = site.member
    site.app.accounts.add({ email: email === null ? null : 'alice@example.com', emailVerified })
    await site.browser.get(await site.consent('alice'))
    await site.signInOwn()
    return site.get(`${BASE}/continue`)
  },
  'two accounts with the address': async (site) => {
    const email = site.host.member.email === null ? null : 'alice@example.com'
    for (let n = 0; n < 2; n++) site.app.accounts.add({ email, emailVerified: true })
    return site.browser.get(await site.consent('alice'))
  },
  'code page in another browser': async (site) => {
    const other = new TestBrowser()
    await other.get(await site.consentIn(other, 'frank'))
    return site.browser.get(await site.consent('frank'))
  },
  'code page after too many codes': async (site) => {
    await site.browser.get(await site.consent('frank'))
    const [form] = formsOf((await site.get(`${BASE}/email`)).text)
    const wrong = { ...form?.fields, code: 'BBBB-BBBB' }
    for (let n = 0; n < 6; n++) {
      await site.browser.post(`${site.app.url}${BASE}/email/verify`, wrong)
    }
    return site.get(`${BASE}/email`)
  },
  'suspended since': async (site) => {
    await site.signInOwn()
    site.member.disabled = true
    return site.submit('/link', '/link')
  },
  'switched off at Bitbucket': async (site) => {
    const callback = await site.consent('alice')
    site.isOffered = false
    return site.browser.get(callback)
  },
  'code page after signing in otherwise': async (site) => {
    await site.browser.get(await site.consent('frank'))
    await site.signInOwn()
    return site.get(`${BASE}/email`)
  },
}

/** At places about a matching account it is found without a code; at a proof it has to be proven. */
function openAt(host: Host, place: string): Promise<Site> {
  const connection = { trustedProvider: /matching account|at a proof|two accounts/.test(place) }
  const { options } = host.app
  const { policy } = options ?? {}
  const proves = place.includes('at a proof') && policy?.localAddresses !== 'none'
  const proven = proves ? { policy: { ...policy, matchingAccount: 'prove' as const } } : {}
  return open({ ...host, app: { connection, ...host.app, options: { ...options, ...proven } } })
}

/** Bitbucket is the only way in there, so only the operator, or an account's own sign-in, could help. */
const NEEDS_OWN_SIGN_IN: ReadonlySet<string> = new Set(['switched off at Bitbucket', 'two accounts with the address'])

/** The headers of a browser that submits a form and will show the answer. */
const SUBMITTED = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }

let fake: FakeBitbucket
let site: Site | undefined
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
afterEach(async () => {
  await site?.app.close()
  site = undefined
  fake.reset()
})

class Site {
  browser = new TestBrowser()
  /** The name at Bitbucket of the user at the browser. */
  person = 'alice'
  /** Whether the operator has switched the connection on. */
  isOffered = true
  constructor(
    readonly app: TestApp,
    readonly host: Host,
    readonly member: TestUser,
  ) {}

  get(path: string): Promise<Answer> {
    return this.browser.get(`${this.app.url}${path}`)
  }

  async consent(person: string, decision: 'allow' | 'deny' = 'allow'): Promise<string> {
    this.person = person
    return fake.signIn(await this.app.start(this.browser, '/asked-for'), { person, decision })
  }

  async consentIn(browser: TestBrowser, person: string): Promise<string> {
    return fake.signIn(await this.app.start(browser), { person })
  }

  async submit(page: string, action: string): Promise<Answer> {
    const form = formsOf((await this.get(`${BASE}${page}`)).text).find((each) => each.action.endsWith(action))
    return this.browser.post(`${this.app.url}${BASE}${action}`, form?.fields ?? {}, { headers: SUBMITTED })
  }

  /** By the app's own sign-in; without one, as the member's Bitbucket user. */
  async signInOwn(): Promise<Answer> {
    if (this.host.signInPage !== 'none') return this.browser.post(`${this.app.url}/own`, {})
    const answer = await this.browser.get(await this.consent(MEMBER))
    this.person = 'alice'
    return answer
  }
}

async function open(host: Host): Promise<Site> {
  const { options, ...rest } = host.app
  const app = await startTestApp({
    fake,
    ...rest,
    resolver: (defaults) => () => ({ ...defaults, enabled: site?.isOffered ?? true }),
    options: { signedInAt: undefined as never, ...options },
    routes: (express: Express, bitbucket) => {
      express.get('/login', (req, res) => {
        if (host.signInPage === 'none') return void res.status(404).send('no such page')
        if (host.signInPage === 'sends-away' && req.user) return res.redirect('/')
        return void res.send('<form method="post" action="/own"><button>Sign in</button></form>')
      })
      express.post('/own', (req, res, next) => {
        if (host.signInPage === 'none') return void res.status(404).send('no such page')
        req.logIn(member, (error?: unknown) => {
          if (error) return next(error)
          bitbucket.signedIn(req).then((path) => res.redirect(path ?? '/'), next)
        })
      })
      express.get('/secret', bitbucket.requireRecentSignIn(), (_req, res) => {
        res.send('the secret')
      })
      express.get('/', async (req, res) => {
        res.send(`home ${req.user ? '' : await bitbucket.button(req)}`)
      })
    },
  })
  const member = app.accounts.add({ name: 'Member', email: 'member@example.com', ...host.member })
  if (host.signInPage === 'none') {
    member.identities = [{ issuer: new URL(fake.url).origin, id: fake.person(MEMBER).uuid }]
  }
  return new Site(app, host, member)
}

/** Something a page offers: a link, or a form with what a user would type. */
interface Offer {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly fields: Record<string, string>
}

const unescapeHtml = (text: string) =>
  text.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&amp;', '&')

function attribute(tag: string, name: string): string | undefined {
  const found = new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1]
  return found === undefined ? undefined : unescapeHtml(found)
}

/** Reads what a page offers; `typed` gives what a user types into a field. */
function offersOf(html: string, url: string, typed: (name: string) => string): Offer[] {
  const links = [...html.matchAll(/<a\s[^>]*>/g)].flatMap(([tag]) => {
    const href = attribute(tag, 'href')
    return href === undefined ? [] : [{ method: 'GET' as const, url: new URL(href, url).href, fields: {} }]
  })
  const forms = [...html.matchAll(/(<form\s[^>]*>)([\s\S]*?)<\/form>/g)].map(([, tag = '', inner = '']) => ({
    method: 'POST' as const,
    url: new URL(attribute(tag, 'action') ?? url, url).href,
    fields: Object.fromEntries(
      [...inner.matchAll(/<input\s[^>]*>/g)].map(([input]) => {
        const name = attribute(input, 'name') ?? ''
        return [name, attribute(input, 'type') === 'hidden' ? (attribute(input, 'value') ?? '') : typed(name)]
      }),
    ),
  }))
  return [...forms, ...links]
}

interface Step {
  readonly browser: TestBrowser
  readonly answer: Answer
  readonly url: string
  readonly trail: readonly string[]
}

/** Follows redirects as a browser does; at Bitbucket the user consents, for the first time as `first`. */
async function arrive(step: Step, person: string, first = person): Promise<Step> {
  let { answer, url } = step
  const persons = [first]
  for (let hop = 0; hop < 10 && answer.status >= 300 && answer.status < 400; hop++) {
    url = new URL(answer.location, url).href
    if (url.startsWith(fake.url)) url = await fake.signIn(url, { person: persons.pop() ?? person })
    answer = await step.browser.get(url)
  }
  if (answer.status >= 300 && answer.status < 400) throw new Error(`redirect loop: ${step.trail.join(' > ')} > ${url}`)
  return { ...step, answer, url }
}

type Ending = 'signed in' | 'linked' | 'support' | 'nowhere'

/** Whether a user is done here: at a page of the app, signed in; or where only support can help. */
async function endingOf(at: Site, { browser, answer, url }: Step, identities: number): Promise<Ending | null> {
  const code = errorOf(answer) as ErrorCode | null
  if (code && ONLY_SUPPORT.has(code)) return /support team/.test(answer.text) ? 'support' : null
  if (at.member.identities.length > identities) return 'linked'
  const isTheApp = !new URL(url).pathname.startsWith(BASE) && answer.status === 200
  const me = isTheApp ? await at.app.me(browser) : null
  return me === null ? null : 'signed in'
}

interface Walk {
  readonly ending: Ending
  readonly visits: number
  readonly trail: readonly string[]
}

/**
 * Depth first, what stands first on a page first, as a user reads. `hide` takes offers away: the planted fault. Branches
 * share the server, so a branch that changes an account changes it for those after it as well.
 */
async function walk(
  at: Site,
  first: Answer,
  place: string,
  hide: (offer: Offer) => boolean = () => false,
): Promise<Walk> {
  const wasSignedIn = (await at.app.me(at.browser)) !== null
  const identities = at.member.identities.length
  const start: Step = { browser: at.browser, answer: first, url: `${at.app.url}${BASE}`, trail: [place] }
  const stack: (() => Promise<Step>)[] = [() => arrive(start, at.person)]
  const seen = new Set<string>()
  let visits = 0
  for (let next = stack.pop(); next && visits < MAX_VISITS; next = stack.pop()) {
    const step = await next()
    visits++
    const ending = await endingOf(at, step, identities)
    // A user who was signed in all along is not served by "Go back" alone where something was to be done.
    const isDone = ending !== 'signed in' || !wasSignedIn || !/^(?:links|choice)/.test(place)
    if (ending && isDone) return { ending, visits, trail: step.trail }
    const signIns = step.trail.filter((each) => /^POST .*(?:\/own|\/reauthenticate)$/.test(each)).length
    const typed = (name: string) => (name === 'address' ? 'typed@example.com' : (at.app.mails.at(-1)?.code ?? ''))
    const fresh = offersOf(step.answer.text, step.url, typed).filter((offer) => {
      const key = `${offer.method} ${offer.url} ${offer.fields.choice ?? ''} ${signIns} ${at.app.mails.length}`
      if (hide(offer) || seen.has(key)) return false
      seen.add(key)
      return true
    })
    for (const offer of fresh.reverse()) stack.push(() => follow(at, step, offer))
  }
  return { ending: 'nowhere', visits, trail: [place] }
}

async function follow(at: Site, from: Step, offer: Offer): Promise<Step> {
  const browser = from.browser.copy()
  // The page says how long to wait for another code.
  if (offer.url.endsWith('/email/code')) travel(MINUTE + 1000)
  const answer = await (offer.method === 'GET'
    ? browser.get(offer.url)
    : browser.post(offer.url, offer.fields, { headers: SUBMITTED }))
  const trail = [...from.trail, `${offer.method} ${offer.url.replace(at.app.url, '')}`]
  // Where a page asks a member to confirm at Bitbucket, they do so as themselves.
  const isMember = at.host.signInPage === 'none' && /\/reauthenticate$/.test(offer.url)
  return arrive({ browser, answer, url: offer.url, trail }, at.person, isMember ? MEMBER : at.person)
}

describe('every page leads the user on', () => {
  let pages = 0
  let visits = 0
  const endings: Record<string, number> = {}
  afterAll(() => {
    console.log(`walked from ${pages} pages, ${visits} visits: ${JSON.stringify(endings)}`)
  })

  const placesOf = ({ signInPage }: Host) =>
    Object.keys(PLACES).filter((place) => signInPage !== 'none' || !NEEDS_OWN_SIGN_IN.has(place))

  test.each(HOSTS.flatMap((host) => placesOf(host).map((place) => [host.name, place, host] as const)))(
    '%s: %s',
    async (_name, place, host) => {
      site = await openAt(host, place)
      const walked = await walk(site, await (PLACES[place] as (at: Site) => Promise<Answer>)(site), place)
      pages++
      visits += walked.visits
      endings[walked.ending] = (endings[walked.ending] ?? 0) + 1
      expect(walked).not.toMatchObject({ ending: 'nowhere' })
    },
  )

  test('control: finds a planted dead end, without the link to sign in again', async () => {
    const host = HOSTS[0] as Host
    site = await open(host)
    const first = await (PLACES['links, long after sign-in'] as (at: Site) => Promise<Answer>)(site)
    const walked = await walk(site, first, 'links, long after sign-in', ({ url }) => url.includes('/sign-in-again'))
    expect(walked.ending).toBe('nowhere')
  })
})
