import { randomBytes, randomUUID } from 'node:crypto'
import type { Request } from 'express'
import type { AccountEmail, AccountWithEmail, HookContext, StoredIdentity } from '../../contract/hooks'
import type { Identity, Profile } from '../../contract/identity'
import { type Diagnosis, fail, inOneLine, NotApplicable } from './hook-failure'
import type { AccountHooksSetup, LocalAccount } from './hooks-setup'

/** Longer than this, and the package ends the request. */
const HOOK_DEADLINE_MS = 15_000

/** A person at Bitbucket. */
export interface Person {
  readonly identity: Identity
  readonly profile: Profile
}

/** Settled hook calls that ran concurrently. */
export interface Outcomes<T> {
  readonly results: readonly T[]
  readonly errors: readonly unknown[]
}

/** What one check works with: fresh people and addresses, the app's hooks, and a list of what has to be removed. */
export class HookTrial<User> {
  readonly setup: AccountHooksSetup<User>
  readonly mark = randomBytes(5).toString('hex')
  readonly #users = new Map<string, User>()
  readonly #addresses = new Set<string>()
  readonly #identities: Identity[] = []
  readonly #sessions: string[] = []
  #count = 0

  constructor(setup: AccountHooksSetup<User>) {
    this.setup = setup
  }

  get database(): AccountHooksSetup<User>['database'] {
    return this.setup.database
  }

  /** Whether accounts hold addresses that are verified. */
  get verifies(): boolean {
    return (this.setup.localAddresses ?? 'verified') === 'verified'
  }

  get hasAddresses(): boolean {
    return this.setup.localAddresses !== 'none'
  }

  /** A fresh address, in lower case. */
  address(local = ''): string {
    const address = `kit-${this.mark}-${++this.#count}${local}@account-hooks.invalid`
    this.#addresses.add(address)
    return address
  }

  /** A new Bitbucket user. */
  person(issuer = 'https://bitbucket.org', id = `{${randomUUID()}}`): Person {
    const identity = Object.freeze({ issuer, id })
    this.#identities.push(identity)
    const displayName = `Kit ${this.mark} ${++this.#count}`
    const profile: Profile = {
      id: identity.id,
      accountId: `557058:${randomUUID()}`,
      username: null,
      nickname: displayName.toLowerCase(),
      displayName,
      avatarUrl: 'https://avatar.invalid/1',
      profileUrl: null,
      emails: [],
    }
    return { identity, profile: Object.freeze({ ...profile, emails: Object.freeze([]) }) }
  }

  /** The address of a sign-up as the package hands it over: proven if the app verifies addresses. */
  email(address: string | null, verified = this.verifies): AccountEmail | null {
    if (address === null || !this.hasAddresses) return null
    this.#addresses.add(address)
    return Object.freeze({ address, verified, verifiedBy: verified ? 'bitbucket' : null })
  }

  /** An account of the app's own sign-up. */
  async account(wanted: Partial<LocalAccount> = {}): Promise<User> {
    const account: LocalAccount = {
      name: `Kit ${this.mark} ${++this.#count}`,
      email: this.hasAddresses ? this.address() : null,
      emailVerified: this.verifies,
      username: null,
      password: true,
      tenant: this.setup.tenants?.[0] ?? null,
      ...wanted,
    }
    return this.note(await this.setup.database.addAccount(Object.freeze(account)), '`database.addAccount`')
  }

  /** The same, if the app may have a good reason not to store such an account. */
  async accountOrSkip(wanted: Partial<LocalAccount>, reason: string): Promise<User> {
    try {
      return await this.account(wanted)
    } catch (error) {
      throw new NotApplicable(`${reason} (${inOneLine(error)})`)
    }
  }

  /** Calls a hook as the package does: one object, frozen data, `req` and `context`, 15 seconds. */
  async call(name: string, input: object, { sessionID = '', tenant }: { sessionID?: string; tenant?: string } = {}) {
    const hook = (this.setup.accounts as unknown as Record<string, (input: object) => unknown>)[name]
    if (!hook) throw new NotApplicable(`There is no hook \`${name}\`.`)
    const argument = { ...input, req: this.#request(sessionID), context: this.#context(tenant) }
    return within(HOOK_DEADLINE_MS, name, Promise.resolve(hook.call(this.setup.accounts, argument)))
  }

  /** Calls started together. */
  async atOnce<T>(count: number, start: (index: number) => Promise<T>): Promise<Outcomes<T>> {
    const settled = await Promise.allSettled(Array.from({ length: count }, (_, index) => start(index)))
    return {
      results: settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])),
      errors: settled.flatMap((each) => (each.status === 'rejected' ? [each.reason] : [])),
    }
  }

  /** `createUser`. */
  async create(person: Person, email: AccountEmail | null, tenant?: string): Promise<User> {
    const created = await this.call('createUser', { ...person, email }, tenant === undefined ? {} : { tenant })
    return this.note(created as User, '`createUser`')
  }

  /** `createUser` for a new Bitbucket user with a fresh proven address, if the app has addresses. */
  async signUp(person = this.person()): Promise<User> {
    return this.create(person, this.email(this.hasAddresses ? this.address() : null))
  }

  link(user: User, person: Person, email: AccountEmail | null = null): Promise<unknown> {
    return this.call('linkIdentity', { user, ...person, email })
  }

  /** `remaining` are the user's other identities that can sign in, as they were when the request began. */
  unlink(user: User, { identity }: Person, remaining: readonly Person[] = []): Promise<unknown> {
    return this.call('unlinkIdentity', { user, identity, remaining: remaining.map((each) => each.identity) })
  }

  async claim(holders: readonly User[], person: Person, address: string): Promise<User> {
    const email = this.email(address)
    const result = (await this.call('claimAddress', { holders: Object.freeze([...holders]), ...person, email })) as {
      user: User
    }
    return this.note(result?.user, '`claimAddress` as `{ user }`')
  }

  /** The id of the user who owns this identity; `null` for no such user. */
  async ownerOf({ identity }: Person, tenant?: string): Promise<string | null> {
    const found = await this.call('getUserByIdentity', { identity }, tenant === undefined ? {} : { tenant })
    if (found === null || found === 'orphaned') return null
    return this.idOf(found as User, '`getUserByIdentity`')
  }

  /** What `getAccountsByEmail` returns for an address, with the ids. */
  async holdersOf(address: string, tenant?: string): Promise<(AccountWithEmail<User> & { readonly id: string })[]> {
    const found = await this.call('getAccountsByEmail', { email: address }, tenant === undefined ? {} : { tenant })
    if (!Array.isArray(found)) {
      fail(`\`getAccountsByEmail\` returned ${kindOf(found)}, not an array.`, {
        effect: 'Nobody whose address has to be looked up can sign in: `hook_failed`, status 500.',
        fix: 'Return an array of { user, email, emailVerified, autoLink }, empty for no account.',
      })
    }
    return found.map((each) => {
      refuseMisshapen(each)
      return { ...each, id: this.idOf(each.user, '`getAccountsByEmail` as `user`') }
    })
  }

  async identitiesOf(user: User): Promise<readonly StoredIdentity[]> {
    const found = await this.call('listIdentities', { user })
    if (Array.isArray(found)) return found
    return fail(`\`listIdentities\` returned ${kindOf(found)}, not an array.`, {
      effect: 'Linking and unlinking end with `hook_failed`, status 500.',
      fix: 'Return an array of { issuer, id, profile }, empty for a user without identities.',
    })
  }

  idOf(user: User, source = 'A hook'): string {
    const id = this.setup.userId ? this.setup.userId(user) : defaultId(user)
    if (typeof id === 'string' && id !== '') return id
    return fail(`${source} returned ${kindOf(user)} instead of a user with an id.`, {
      effect: 'The request ends with `hook_failed`, status 500.',
      fix: 'Return the user that was read or stored, with `id`; set `userId` if the id has another name. Return `null` for no user (`?? null`).',
    })
  }

  /** Remembers a user, so that it is removed in the end. */
  note(user: User, source: string): User {
    this.#users.set(this.idOf(user, source), user)
    return user
  }

  async openSession(user: User): Promise<string> {
    const { sessions } = this.database
    if (!sessions) throw new NotApplicable('`database.sessions` is not set.')
    const sessionID = await sessions.open(user)
    this.#sessions.push(sessionID)
    return sessionID
  }

  async isOpen(sessionID: string): Promise<boolean> {
    return (await this.database.sessions?.isOpen(sessionID)) === true
  }

  /** Removes everything that was stored, what a broken hook left included. */
  async cleanUp(): Promise<void> {
    await this.#noteLeftovers()
    for (const sessionID of this.#sessions) await ignoringFaults(() => this.database.sessions?.close(sessionID))
    const faults: unknown[] = []
    for (const user of this.#users.values()) {
      await ignoringFaults(
        () => this.database.removeAccount(user),
        (error) => faults.push(error),
      )
    }
    if (faults.length > 0) fail(`\`database.removeAccount\` failed. ${inOneLine(faults[0])}`, NOT_REMOVED, faults[0])
  }

  /** Users that only the look-ups know: stored by a call that failed afterwards. */
  async #noteLeftovers(): Promise<void> {
    for (const tenant of this.setup.tenants ?? [undefined]) {
      for (const identity of this.#identities) {
        await ignoringFaults(async () => {
          const found = await this.call('getUserByIdentity', { identity }, tenant === undefined ? {} : { tenant })
          if (typeof found === 'object' && found !== null) this.note(found as User, '')
        })
      }
      for (const address of this.hasAddresses ? this.#addresses : []) {
        await ignoringFaults(async () => {
          for (const { user } of await this.holdersOf(address, tenant)) this.note(user, '')
        })
      }
    }
  }

  #request(sessionID: string): Request {
    if (this.setup.request) return this.setup.request({ sessionID })
    const headers = { host: 'account-hooks.invalid' }
    const session = { id: sessionID, cookie: {} }
    const url = '/auth/bitbucket/callback'
    return { sessionID, session, headers, method: 'GET', url, originalUrl: url, get: () => undefined } as never
  }

  #context(tenant = this.setup.tenants?.[0]): HookContext {
    const context = {
      connection: 'account-hooks',
      tenant: tenant ?? null,
      application: null,
      origin: 'https://account-hooks.invalid',
      intent: 'sign-in',
      workspaces: Object.freeze([]),
      data: null,
    } as const
    return Object.freeze(context)
  }
}

/** What the package would refuse as well. */
function refuseMisshapen({ email, emailVerified, autoLink }: AccountWithEmail<unknown>): void {
  const wrong = [
    typeof email === 'string' ? null : `\`email\` is ${kindOf(email)}`,
    typeof emailVerified === 'boolean' ? null : `\`emailVerified\` is ${kindOf(emailVerified)}`,
    autoLink === undefined || typeof autoLink === 'boolean' ? null : `\`autoLink\` is ${kindOf(autoLink)}`,
  ].find((each) => each !== null)
  if (!wrong) return
  fail(`In what \`getAccountsByEmail\` returned, ${wrong}.`, {
    effect: 'People whose address is known end with `hook_failed`, status 500.',
    fix: 'Return { user, email: string, emailVerified: boolean, autoLink: boolean }. SQLite and MySQL return 0 and 1: write `Boolean(row.email_verified)`.',
  })
}

const NOT_REMOVED: Diagnosis = {
  effect: 'Accounts of the checks stay in your test database.',
  fix: 'Let `removeAccount` delete the account with everything that refers to it, and succeed when it is gone.',
}

async function ignoringFaults(work: () => unknown, onFault: (error: unknown) => void = () => {}): Promise<void> {
  try {
    await work()
  } catch (error) {
    onFault(error)
  }
}

async function within<T>(ms: number, name: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`\`${name}\` did not settle within ${ms / 1000} seconds.`)), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

function defaultId(user: unknown): string | null {
  const id = (user as { id?: unknown } | null | undefined)?.id
  return id === undefined || id === null ? null : String(id)
}

export function kindOf(value: unknown): string {
  if (value === null || value === undefined || typeof value === 'boolean') return String(value)
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'string' ? `'${value}'` : `a value of type ${typeof value}`
}
