import http = require('node:http')

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import { type Answer, formsOf, TestBrowser } from '../support/browser'
import { afterwards, type Lab, startLab, testLimiter } from '../support/lab'
import { check, LONG, TIMEOUT } from './cases'

/*
 * Whole stories: victim and attacker do, in any order, what browsers can do, with each other's callback addresses,
 * handles and old cookies among it. After every step the books are compared with what each of them has proved.
 */

/** A user at a keyboard: their name at Bitbucket, the mail that they read, and the account whose password they know. */
interface Someone {
  readonly people: readonly string[]
  readonly reads: readonly string[]
  readonly account: string
}

const VICTIM: Someone = {
  people: ['alice', 'carol'],
  reads: ['alice@example.com', 'carol@example.com'],
  account: 'owner',
}
const ATTACKER: Someone = {
  people: ['mallory', 'bob', 'dave'],
  reads: ['mallory@example.com', 'typed@example.com'],
  account: 'squat',
}
/** The user at each browser. */
const BROWSERS: readonly Someone[] = [VICTIM, ATTACKER, ATTACKER]

const ACTIONS = [
  ...['sign in', 'sign in', 'sign in', 'start', 'consent', 'visit', 'visit', 'local', 'sign out', 'right code'],
  ...['right code', 'wrong code', 'resend', 'address', 'choose', 'choose', 'old form', 'link', 'reauthenticate'],
  ...['unlink', 'cancel', 'wait', 'keep cookies', 'old cookies'],
] as const

interface Step {
  readonly at: number
  readonly action: (typeof ACTIONS)[number]
  /** Which of several things. */
  readonly which: number
}

/** Several things in a row at one browser: most of what matters takes more than one. */
const turn: fc.Arbitrary<Step[]> = fc
  .tuple(
    fc.nat(BROWSERS.length - 1),
    fc.array(fc.tuple(fc.constantFrom(...ACTIONS), fc.nat(11)), { minLength: 1, maxLength: 5 }),
  )
  .map(([at, acts]) => acts.map(([action, which]) => ({ at, action, which })))

const POLICIES = [
  { trustedProvider: false, policy: {} },
  { trustedProvider: true, policy: {} },
  { trustedProvider: false, policy: { codeOpensAccount: true } },
  {
    trustedProvider: true,
    policy: { identitiesPerUser: 'many', localAddresses: 'unverified' },
    without: ['claimAddress'],
  },
  { trustedProvider: true, policy: { untrustedEmail: 'unverified' } },
  { trustedProvider: true, policy: { matchingAccount: 'prove' } },
  { trustedProvider: false, policy: {}, without: ['claimAddress'] },
] as const

const MINUTES = [1.1, 1.1, 1.1, 9, 11, 31, 61]
const pick = <T>(list: readonly T[], which: number): T | undefined => list[which % Math.max(1, list.length)]

/** One story in one lab: what happened so far, and what everybody has proved by it. */
class Story {
  readonly lab: Lab
  readonly setting: (typeof POLICIES)[number]
  readonly pass: (ms: number) => void
  readonly browsers: TestBrowser[]
  readonly started: string[][] = BROWSERS.map(() => [])
  /** Every callback address there ever was. Anybody may visit any of them. */
  readonly callbacks: string[] = []
  /** Every form that was ever shown. */
  readonly forms: Record<string, string>[] = []
  readonly kept: TestBrowser[][] = BROWSERS.map(() => [])
  /** Bitbucket identities that consented in a browser, to a sign-in that was started there. */
  readonly proven = BROWSERS.map(() => new Set<string>())
  /** Accounts that a browser was let into by right. */
  readonly entered = BROWSERS.map(() => new Set<string>())
  /** Which identities are whose, as of the last look. */
  books = new Map<string, { identities: Set<string>; verified: boolean }>()

  constructor(lab: Lab, setting: (typeof POLICIES)[number], agent: http.Agent, pass: (ms: number) => void) {
    this.lab = lab
    this.setting = setting
    this.pass = pass
    this.browsers = BROWSERS.map(() => new TestBrowser('127.0.0.1', agent))
  }

  async play({ at, action, which }: Step): Promise<void> {
    const { lab } = this
    const browser = this.browsers[at] as TestBrowser
    const someone = BROWSERS[at] as Someone
    switch (action) {
      case 'sign in':
        await this.start(at)
        await this.consent(at, which)
        return this.answered(await browser.get(this.callbacks.at(-1) ?? ''))
      case 'start':
        return this.start(at)
      case 'consent':
        return this.consent(at, which)
      case 'visit': {
        const url = which < 6 ? this.callbacks.at(-1) : pick(this.callbacks, which)
        return url === undefined ? undefined : this.answered(await browser.get(url))
      }
      case 'local': {
        const user = [...lab.accounts.users.values()].find(
          ({ name, password }) => name === someone.account && password !== null,
        )
        if (!user) return
        await lab.localSignIn(browser, user)
        this.entered[at]?.add(user.id)
        return
      }
      case 'sign out':
        return this.answered(await browser.post(`${lab.url}/logout`, {}))
      case 'right code': {
        const mail = lab.mails.filter(({ to }) => someone.reads.includes(to)).at(-1 - (which % 3))
        return this.submit(at, '/email', '/email/verify', { code: mail?.code ?? 'BBBB-BBBB' })
      }
      case 'wrong code':
        return this.submit(at, '/email', '/email/verify', { code: 'BBBB-BBBB' })
      case 'resend':
        return this.submit(at, '/email', '/email/code', {})
      case 'address': {
        const address = pick(['typed@example.com', 'alice@example.com', 'mallory@example.com'], which) ?? ''
        return this.submit(at, '/email', '/email/address', { address })
      }
      case 'choose':
        return this.submit(at, '/continue', '/continue', { choice: pick(['link', 'switch', 'confirm'], which) ?? '' })
      case 'old form': {
        const fields = { ...pick(this.forms, which * 7), ...(which % 2 === 0 && { choice: 'confirm' }) }
        const path = pick(['/continue', '/email/verify', '/email/code', '/unlink', '/cancel'], which) ?? ''
        return this.answered(await lab.post(browser, path, fields))
      }
      case 'link':
      case 'reauthenticate': {
        const answer = await lab.post(browser, `/${action}`)
        this.answered(answer)
        if (!answer.location.startsWith('http')) return
        this.started[at]?.push(answer.location)
        if (which % 4 === 0) return
        await this.consent(at, which)
        return this.answered(await browser.get(this.callbacks.at(-1) ?? ''))
      }
      case 'unlink': {
        const ids = [...lab.accounts.users.values()].flatMap(({ identities }) => identities.map(({ id }) => id))
        return this.answered(await lab.post(browser, '/unlink', { id: pick(ids, which) ?? '' }))
      }
      case 'cancel':
        return this.answered(await lab.post(browser, '/cancel'))
      case 'wait':
        return this.pass((pick(MINUTES, which) ?? 1) * 60_000)
      case 'keep cookies':
        this.kept[at]?.push(browser.copy())
        return
      case 'old cookies': {
        const old = pick(this.kept[at] ?? [], which)
        if (old) this.browsers[at] = old.copy()
        return
      }
    }
  }

  async start(at: number): Promise<void> {
    this.started[at]?.push(await this.lab.start(this.browsers[at] as TestBrowser))
  }

  async consent(at: number, which: number): Promise<void> {
    const started = this.started[at]?.at(-1)
    const person = pick(BROWSERS[at]?.people ?? [], which)
    if (started === undefined || person === undefined) return
    this.callbacks.push(await this.lab.fake.signIn(started, { person }))
    this.proven[at]?.add(this.lab.fake.person(person).uuid)
  }

  async submit(at: number, page: string, action: string, fields: Record<string, string>): Promise<void> {
    const browser = this.browsers[at] as TestBrowser
    const shown = formsOf((await this.lab.get(browser, page)).text)
    for (const form of shown) this.forms.push({ ...form.fields, ...fields })
    const form = shown.find((each) => each.action.endsWith(action))
    if (form) this.answered(await this.lab.post(browser, action, { ...form.fields, ...fields }))
  }

  answered({ status }: Answer): void {
    expect(status).toBeLessThan(500)
  }

  /** Compares what is with what may be. */
  async look(at: number): Promise<void> {
    const { lab } = this
    expect(lab.faults).toEqual([])
    const stored = [...lab.accounts.users.values()].flatMap(({ identities }) => identities.map(({ id }) => id))
    expect(new Set(stored).size).toBe(stored.length)
    for (const user of lab.accounts.users.values()) this.compare(at, user)
    this.note()
    await this.lookWho(at)
  }

  /** The user signed in at a browser has proved there that they own the account. */
  async lookWho(at: number): Promise<void> {
    const id = await this.lab.me(this.browsers[at] as TestBrowser)
    if (id === null) return
    const user = this.lab.accounts.users.get(id) as TestUser
    if (user.identities.some((identity) => this.proven[at]?.has(identity.id))) this.entered[at]?.add(id)
    if (!this.entered[at]?.has(id)) throw new Error(`browser ${at} is signed in as ${user.name} (${id})`)
  }

  /** Writes down how the accounts are. */
  note(): void {
    for (const [id, user] of this.lab.accounts.users) {
      const identities = new Set(user.identities.map((each) => each.id))
      this.books.set(id, { identities, verified: user.emailVerified })
    }
  }

  /** Each identity that an account has since the last step, and each proof of its address, needs a reason. */
  compare(at: number, user: TestUser): void {
    const before = this.books.get(user.id)
    for (const { id } of user.identities) {
      if (before?.identities.has(id)) continue
      if (!this.proven[at]?.has(id)) throw new Error(`${user.name} got ${id}, which did not consent in browser ${at}`)
      if (before && !this.entered[at]?.has(user.id) && !this.ownsAddress(id, user, before.verified)) {
        throw new Error(`${user.name} got ${id} in browser ${at}, where nobody has entered the account`)
      }
    }
    for (const id of before?.identities ?? []) {
      if (user.identities.some((each) => each.id === id)) continue
      const claimed = user.identities.some((each) => this.proven[at]?.has(each.id))
      if (!claimed && !this.entered[at]?.has(user.id)) throw new Error(`${user.name} lost ${id} in browser ${at}`)
    }
    if (user.emailVerified && !before?.verified) {
      const reads = BROWSERS[at]?.reads.includes(user.email ?? '')
      const confirmed = user.identities.some(({ id }) => this.isConfirmed(id, user.email))
      if (!reads && !confirmed) throw new Error(`${user.name} has ${user.email} as verified`)
    }
  }

  isConfirmed(id: string, address: string | null): boolean {
    const person = this.lab.fake.people.find(({ uuid }) => uuid === id)
    const listed = person?.emails.some((email) => email.address === address && email.confirmed) ?? false
    return this.setting.trustedProvider && listed
  }

  /** Whether the address alone may open this account to that person. */
  ownsAddress(id: string, user: TestUser, verified: boolean): boolean {
    if (this.isConfirmed(id, user.email)) return true
    const person = this.lab.fake.people.find(({ uuid }) => uuid === id)
    const someone = BROWSERS.find(({ people }) => people.includes(person?.key ?? ''))
    const read = someone?.reads.includes(user.email ?? '') && this.lab.mails.some(({ to }) => to === user.email)
    const opens = !verified || 'codeOpensAccount' in this.setting.policy
    return opens && read === true && person?.emails.some(({ address }) => address === user.email) === true
  }
}

test(
  'no sequence of steps by a victim and an attacker ends with an account or identity that was not proven',
  async () => {
    let offset = 0
    const [wall, monotonic] = [Date.now.bind(Date), performance.now.bind(performance)]
    const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
    const limiter = testLimiter()
    const settings: { lab: Lab; setting: (typeof POLICIES)[number] }[] = []
    for (const setting of POLICIES) {
      const { trustedProvider, policy } = setting
      const lab = await startLab({
        connection: { trustedProvider },
        options: { policy, limiter: limiter.factory },
        ...('without' in setting && { without: [...setting.without] }),
      })
      const primary = (address: string, confirmed: boolean) => ({ emails: [{ address, primary: true, confirmed }] })
      lab.fake.addPerson({ key: 'mallory', ...primary('mallory@example.com', true) })
      // The attacker's Bitbucket account that says to be the victim's.
      lab.fake.updatePerson('bob', primary('alice@example.com', false))
      settings.push({ lab, setting })
    }
    Date.now = () => wall() + offset
    performance.now = () => monotonic() + offset
    afterwards(() => {
      Date.now = wall
      performance.now = monotonic
      agent.destroy()
    })
    const happened = new Map<string, number>()

    await check(
      fc.asyncProperty(
        fc.nat(settings.length - 1),
        fc.tuple(fc.boolean(), fc.boolean(), fc.boolean()),
        fc.array(turn, { minLength: 1, maxLength: 5 }),
        async (setting, [owner, ownerVerified, squat], turns) => {
          offset = 0
          limiter.clear()
          const { lab } = settings[setting] as (typeof settings)[number]
          lab.accounts.users.clear()
          for (const list of [lab.accounts.calls, lab.mails, lab.events]) list.length = 0
          lab.store.clear()
          const story = new Story(lab, POLICIES[setting] as (typeof POLICIES)[number], agent, (ms) => {
            offset += ms
          })
          if (owner) lab.accounts.add({ name: 'owner', email: 'alice@example.com', emailVerified: ownerVerified })
          if (squat) lab.accounts.add({ name: 'squat', email: 'carol@example.com', emailVerified: false })
          else lab.accounts.add({ name: 'squat', email: 'mallory@example.com', emailVerified: true })
          // A user who never came back for the mail, at an address that the attacker reads today.
          lab.accounts.add({ name: 'dormant', email: 'typed@example.com', emailVerified: false })
          story.note()
          for (const each of turns.flat()) {
            await story.play(each)
            await story.look(each.at)
          }
          for (const at of BROWSERS.keys()) await story.lookWho(at)
          for (const { type } of lab.events) happened.set(type, (happened.get(type) ?? 0) + 1)
        },
      ),
      100,
      6000,
    )
    if (LONG) console.log(Object.fromEntries(happened))
    // All that can happen has happened.
    const wanted = ['signed_in', 'signed_up', 'linked', 'claimed', 'code_sent', 'code_failed', 'refused']
    if (LONG) wanted.push('unlinked', 'reauthenticated')
    expect(wanted.filter((type) => !happened.has(type))).toEqual([])
  },
  TIMEOUT,
)
