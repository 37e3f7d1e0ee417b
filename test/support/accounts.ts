import {
  type AccountEmail,
  type AccountHooks,
  EmailTakenError,
  type Identity,
  IdentityTakenError,
  type Profile,
  type StoredIdentity,
  type Tokens,
} from 'passport-bitbucket-signin'

/** A user of the test app. */
export interface TestUser {
  readonly id: string
  name: string
  email: string | null
  emailVerified: boolean
  password: string | null
  disabled: boolean
  /** Set by unlink: never link by address alone again. */
  autoLink: boolean
  identities: StoredIdentity[]
}

/** From an interceptor: the hook answers nothing at all. */
export const NOTHING: unique symbol = Symbol('nothing')

/** Called before every hook; may delay or throw. Its return value becomes the hook's, `undefined` = continue. */
export type HookInterceptor = (name: string, input: unknown) => unknown

/** Users in memory, with the unique keys a database would have. Records each call of a hook. */
export class TestAccounts {
  readonly users = new Map<string, TestUser>()
  readonly calls: { readonly name: string; readonly input: Record<string, unknown> }[] = []
  readonly tokens = new Map<string, Tokens>()
  readonly endedSessions: { readonly userId: string; readonly reason: string }[] = []
  intercept: HookInterceptor = () => {}
  #nextId = 1

  /** Adds a local account. */
  add(user: Partial<Omit<TestUser, 'id'>> = {}): TestUser {
    const added: TestUser = {
      id: `u${this.#nextId++}`,
      name: 'Local user',
      email: null,
      emailVerified: false,
      password: 'secret',
      disabled: false,
      autoLink: true,
      identities: [],
      ...user,
    }
    this.users.set(added.id, added)
    return added
  }

  count(name: string): number {
    return this.calls.filter((call) => call.name === name).length
  }

  /** Calls of hooks that change accounts. */
  writes(): string[] {
    const writing = ['createUser', 'linkIdentity', 'claimAddress', 'unlinkIdentity']
    return this.calls.map(({ name }) => name).filter((name) => writing.includes(name))
  }

  byIdentity({ issuer, id }: Identity): TestUser | undefined {
    return [...this.users.values()].find((user) =>
      user.identities.some((each) => each.issuer === issuer && each.id === id),
    )
  }

  /** All hooks; leave some out with `without`. */
  hooks(...without: (keyof AccountHooks<TestUser>)[]): AccountHooks<TestUser> {
    const all: Required<AccountHooks<TestUser>> = {
      getUserByIdentity: ({ identity }) => this.byIdentity(identity) ?? null,
      getUserById: ({ id }) => this.users.get(id) ?? null,
      getAccountsByEmail: ({ email }) =>
        [...this.users.values()]
          .filter((user) => user.email?.toLowerCase() === email.toLowerCase())
          .map((user) => ({
            user,
            email: user.email ?? '',
            emailVerified: user.emailVerified,
            autoLink: user.autoLink,
          })),
      createUser: ({ identity, profile, email }) => {
        this.#refuseTaken(identity, email)
        return this.add({
          name: profile.displayName,
          email: email?.address ?? null,
          emailVerified: email?.verified ?? false,
          password: null,
          identities: [stored(identity, profile)],
        })
      },
      linkIdentity: ({ user, identity, profile }) => {
        this.#refuseTaken(identity, null)
        this.#own(user).identities.push(stored(identity, profile))
      },
      claimAddress: ({ holders, identity, profile, email }) => {
        this.#refuseTaken(identity, null)
        const owned = holders.map((holder) => this.#own(holder))
        if (owned.some((holder) => holder.emailVerified)) throw new EmailTakenError()
        for (const holder of owned) holder.email = null
        const user = this.add({
          name: profile.displayName,
          email: email.address,
          emailVerified: email.verified,
          password: null,
          identities: [stored(identity, profile)],
        })
        return { user }
      },
      unlinkIdentity: ({ user, identity, remaining }) => {
        const own = this.#own(user)
        if (own.password === null && remaining.length === 0) return 'last'
        own.identities = own.identities.filter(({ issuer, id }) => issuer !== identity.issuer || id !== identity.id)
        own.autoLink = false
        return 'unlinked'
      },
      listIdentities: ({ user }) => this.#own(user).identities,
      describeUser: ({ user }) => ({ label: user.name, email: user.email, emailVerified: user.emailVerified }),
      storeTokens: ({ user, tokens }) => {
        this.tokens.set(user.id, tokens)
      },
      updateProfile: ({ user, identity, profile }) => {
        const own = this.#own(user)
        own.identities = own.identities.map((each) =>
          each.issuer === identity.issuer && each.id === identity.id ? stored(identity, profile) : each,
        )
      },
      beforeSignIn: () => {},
      canSignIn: ({ user }) => (user.disabled ? 'disabled' : true),
      endOtherSessions: ({ user, reason }) => {
        this.endedSessions.push({ userId: user.id, reason })
      },
    }
    const given = Object.entries(all).filter(([name]) => !(without as string[]).includes(name))
    return Object.fromEntries(
      given.map(([name, hook]) => [
        name,
        async (input: never) => {
          this.calls.push({ name, input })
          const instead = await this.intercept(name, input)
          if (instead === NOTHING) return undefined
          return instead === undefined ? (hook as (input: never) => unknown)(input) : instead
        },
      ]),
    ) as unknown as AccountHooks<TestUser>
  }

  #own(user: TestUser): TestUser {
    const own = this.users.get(user.id)
    if (!own) throw new Error(`no user ${user.id}`)
    return own
  }

  #refuseTaken(identity: Identity, email: AccountEmail | null): void {
    if (this.byIdentity(identity)) throw new IdentityTakenError()
    const taken = [...this.users.values()].some((user) => email && user.email === email.address)
    if (taken) throw new EmailTakenError()
  }
}

function stored(identity: Identity, profile: Profile): StoredIdentity {
  const { username, nickname, displayName, avatarUrl } = profile
  return { ...identity, profile: { username, nickname, displayName, avatarUrl } }
}
