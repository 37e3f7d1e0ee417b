import type { Connection } from 'passport-bitbucket-signin'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { clientAt, refusalOf, type Site, startSite, TestBrowser } from '../support/site'

let site: Site
let central: Connection
const LEVELS = ['www', 'inherits', 'overrides', 'disabled', 'unknown'] as const
const HOSTS = LEVELS.flatMap((level) => [`board.${level}`, `desk.${level}`])

/** Both come from the host: `board.acme.localhost` is the application `board` of the tenant `acme`. */
const part = (hostname: string, index: number) => hostname.split('.')[index] ?? ''

beforeAll(async () => {
  site = await startSite({
    more: {
      tenant: ({ hostname }) => (/^login\.|\.www\./.test(hostname) ? null : part(hostname, 1)),
      application: ({ hostname }) => (hostname.startsWith('login.') ? null : part(hostname, 0)),
    },
  })
  central = { ...(site.rows.default as Connection), origins: HOSTS.map(site.at) }
})
afterAll(() => site.close())

/** Everybody is offered everything. */
function openAll() {
  const { clientID, clientSecret } = clientAt(site, 'login')
  site.rows.default = central
  site.rows.tenants = { inherits: {}, overrides: { clientID, clientSecret }, disabled: {}, unknown: {} }
}

/** The configuration under test. */
function configure() {
  openAll()
  site.rows.default = { ...central, applications: ['board'] }
  site.rows.tenants.disabled = { enabled: false }
  delete site.rows.tenants.unknown
}

describe.each(LEVELS)('%s', (level) => {
  test.each(['board', 'desk'])('application %s: start, callback, button and offered agree', async (application) => {
    const name = `${application}.${level}`
    const works = application === 'board' && level !== 'disabled' && level !== 'unknown'

    openAll()
    const browser = new TestBrowser()
    const atCentral = await site.fake.signIn((await site.startAt(browser, name)).location, { person: 'alice' })
    const second = new TestBrowser()
    const code = await site.fake.signIn((await site.startAt(second, name)).location, { person: 'alice' })
    const atEnd = (await second.get(code)).location
    expect(atEnd).toContain(`${site.at(name)}/auth/bitbucket/callback?handover=`)

    configure()
    site.fake.clearRequests()
    const started = await site.startAt(new TestBrowser(), name)
    const { offered, button } = await site.shownAt(name)
    const callback = await browser.get(atCentral)
    const end = await second.get(atEnd)

    if (works) {
      expect(started.location).toContain('/site/oauth2/authorize')
      expect(offered).toBe(true)
      expect(button).toContain('href="/auth/bitbucket?returnTo=%2Fhere"')
      expect(callback.location).toContain('handover=')
      expect(end.location).toBe('/')
      expect(await site.meAt(second, name)).not.toBeNull()
    } else {
      for (const answer of [started, callback, end]) {
        expect(refusalOf(answer)).toEqual({ status: 404, code: 'connection_unavailable' })
      }
      expect(offered).toBe(false)
      expect(button).toBe('')
      expect(await site.meAt(second, name)).toBeNull()
      expect(site.fake.count()).toBe(0)
    }
  })
})
