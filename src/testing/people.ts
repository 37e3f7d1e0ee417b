import { createHash } from 'node:crypto'
import { refuseUnknownKeys, requireText, suggestion } from './check'

/** One address of a person, with Bitbucket's two independent flags. */
export interface FakeEmail {
  /** The address, as the API returns it. */
  readonly address: string
  /** Whether it is the account's main address. Default `false`; none or two primaries are allowed, as they occur. */
  readonly primary?: boolean
  /** Whether the address is confirmed. Default `true`. */
  readonly confirmed?: boolean
}

/** A person's place in a workspace. */
export interface FakeMembership {
  /** The workspace's name in URLs. People with the same slug are in the same workspace. */
  readonly slug: string
  /** Default `member`. */
  readonly permission?: 'owner' | 'create-project' | 'member'
  /** With braces, lower case. Default: derived from the slug, so it is the same for all members and after a restart. */
  readonly uuid?: string
}

/** A person to add. Only `key` is needed; the rest follows from it. */
export interface FakePersonOptions {
  /** How tests and the fake's own pages refer to the person, for example `alice`. Never sent; survives a rename. */
  readonly key: string
  /** Bitbucket's immutable id, with braces, lower case. Default: derived from the key, so a restart keeps the identity. */
  readonly uuid?: string
  /** Atlassian's account id. Default: derived from the key. */
  readonly accountId?: string
  /** Mutable name; `null` leaves the field out of the answer. Default: the key. */
  readonly username?: string | null
  /** Display handle. Default: the key. */
  readonly nickname?: string
  /** Full name. Default: the key with a capital. */
  readonly displayName?: string
  /** Addresses in the order of the answer. Default: one, `<key>@example.com`, primary and confirmed. */
  readonly emails?: readonly FakeEmail[]
  /** Memberships. Default: none. */
  readonly workspaces?: readonly FakeMembership[]
  /** Picture; `null` leaves the link out. Default: initials that the fake draws itself. */
  readonly avatarUrl?: string | null
  /** Fields that replace those of the response of `/2.0/user`, for example `{ type: 'team' }` or `{ location: 'Oslo' }`. Default: none. */
  readonly user?: Readonly<Record<string, unknown>>
}

/** A person of the fake, with all defaults applied. */
export interface FakePerson extends Required<Omit<FakePersonOptions, 'avatarUrl' | 'emails' | 'workspaces'>> {
  /** Addresses, in the order of the response. */
  readonly emails: readonly Required<FakeEmail>[]
  /** Memberships. */
  readonly workspaces: readonly Required<FakeMembership>[]
  /** As set; `undefined` = a picture drawn by the fake. */
  readonly avatarUrl: string | null | undefined
}

const EMAILS_BEFORE_THE_PRIMARY = Array.from({ length: 11 }, (_, index) => ({
  address: `erin.${index + 1}@example.org`,
  confirmed: index % 2 === 0,
}))

/**
 * The default people. Together they cover what a sign-in must handle:
 *
 * - `alice`: one address, primary and confirmed; owns the workspace `acme`
 * - `bob`: one address, primary, **not** confirmed; member of `acme`
 * - `carol`: several addresses, a name with non-ASCII letters
 * - `dave`: no address
 * - `erin`: twelve addresses, the primary one on the second page
 * - `frank`: an unconfirmed primary address and a confirmed second one
 * - `grace`: no username and no picture
 */
export const FAKE_PEOPLE: readonly FakePersonOptions[] = Object.freeze([
  {
    key: 'alice',
    displayName: 'Alice Archer',
    emails: [{ address: 'alice@example.com', primary: true, confirmed: true }],
    workspaces: [{ slug: 'acme', permission: 'owner' as const }],
  },
  {
    key: 'bob',
    displayName: 'Bob Baker',
    emails: [{ address: 'bob@example.com', primary: true, confirmed: false }],
    workspaces: [{ slug: 'acme', permission: 'member' as const }],
  },
  {
    key: 'carol',
    displayName: 'Carol Côté',
    emails: [
      { address: 'carol.private@example.org', confirmed: true },
      { address: 'carol@example.com', primary: true, confirmed: true },
      { address: 'carol.typo@example.net', confirmed: false },
    ],
  },
  { key: 'dave', displayName: 'Dave Dunn', emails: [] },
  {
    key: 'erin',
    displayName: 'Erin Evans',
    emails: [...EMAILS_BEFORE_THE_PRIMARY, { address: 'erin@example.com', primary: true, confirmed: true }],
  },
  {
    key: 'frank',
    displayName: 'Frank Fisher',
    emails: [
      { address: 'frank@example.com', primary: true, confirmed: false },
      { address: 'frank.second@example.org', confirmed: true },
    ],
  },
  { key: 'grace', displayName: 'Grace Green', username: null, avatarUrl: null },
])

/** The people of one fake, by key. */
export class People {
  readonly #byKey = new Map<string, FakePerson>()

  constructor(people: readonly FakePersonOptions[]) {
    requireList('"people"', people)
    for (const person of people) this.add(person)
  }

  get all(): readonly FakePerson[] {
    return [...this.#byKey.values()]
  }

  find(key: string): FakePerson | undefined {
    return this.#byKey.get(key)
  }

  get(key: string): FakePerson {
    const person = this.find(key)
    if (person) return person
    throw new TypeError(
      `There is no person "${key}". ${suggestion(key, [...this.#byKey.keys()])} addPerson() adds one.`,
    )
  }

  add(options: FakePersonOptions): FakePerson {
    const person = completePerson(options)
    if (this.#byKey.has(person.key)) {
      throw new TypeError(`There is a person "${person.key}" already. Change it with updatePerson().`)
    }
    this.#refuseTakenUuid(person)
    this.#byKey.set(person.key, person)
    return person
  }

  update(key: string, changes: Partial<Omit<FakePersonOptions, 'key'>>): FakePerson {
    if ('key' in changes) throw new TypeError('A person keeps its key: change username, nickname or displayName.')
    const { avatarUrl, ...rest } = this.get(key)
    const person = completePerson({ ...rest, ...(avatarUrl !== undefined && { avatarUrl }), ...changes })
    this.#refuseTakenUuid(person)
    this.#byKey.set(key, person)
    return person
  }

  remove(key: string): void {
    this.get(key)
    this.#byKey.delete(key)
  }

  #refuseTakenUuid(person: FakePerson): void {
    for (const other of this.#byKey.values()) {
      if (other.uuid === person.uuid && other.key !== person.key) {
        throw new TypeError(
          `"${person.key}" has the uuid of "${other.key}". Give each person its own, or leave it out.`,
        )
      }
    }
  }
}

/** A uuid in Bitbucket's form that is always the same for the same name. */
export function derivedUuid(kind: string, name: string): string {
  const hex = createHash('sha256').update(`${kind}:${name}`).digest('hex')
  return `{${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}}`
}

const PERSON_KEYS = [
  'key',
  'uuid',
  'accountId',
  'username',
  'nickname',
  'displayName',
  'emails',
  'workspaces',
  'avatarUrl',
  'user',
]
const UUID = /^\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}$/

function completePerson(options: FakePersonOptions): FakePerson {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError('A person must be an object such as { "key": "alice" }.')
  }
  const key = requireText('A person\'s "key"', options.key)
  refuseUnknownKeys(`Person "${key}"`, options, PERSON_KEYS)
  const emails = requireList(`"emails" of person "${key}"`, options.emails ?? [defaultEmail(key)])
  const workspaces = requireList(`"workspaces" of person "${key}"`, options.workspaces ?? [])
  return Object.freeze({
    key,
    uuid: requireUuid(`"uuid" of person "${key}"`, options.uuid ?? derivedUuid('person', key)),
    accountId: options.accountId ?? `557058:${derivedUuid('account', key).slice(1, -1)}`,
    username: options.username === undefined ? key : options.username,
    nickname: options.nickname ?? key,
    displayName: options.displayName ?? key.slice(0, 1).toUpperCase() + key.slice(1),
    emails: emails.map((email) => completeEmail(key, email)),
    workspaces: workspaces.map((membership) => completeMembership(key, membership)),
    avatarUrl: options.avatarUrl,
    user: { ...options.user },
  })
}

function defaultEmail(key: string): FakeEmail {
  return { address: `${key}@example.com`, primary: true, confirmed: true }
}

function completeEmail(key: string, email: FakeEmail): Required<FakeEmail> {
  const what = `An address of person "${key}"`
  if (typeof email !== 'object' || email === null)
    throw new TypeError(`${what} must be like { address: "a@example.com" }.`)
  refuseUnknownKeys(what, email, ['address', 'primary', 'confirmed'])
  const address = requireText(`"address" of an address of person "${key}"`, email.address)
  return { address, primary: email.primary ?? false, confirmed: email.confirmed ?? true }
}

function completeMembership(key: string, membership: FakeMembership): Required<FakeMembership> {
  const what = `A workspace of person "${key}"`
  if (typeof membership !== 'object' || membership === null)
    throw new TypeError(`${what} must be like { slug: "acme" }.`)
  refuseUnknownKeys(what, membership, ['slug', 'permission', 'uuid'])
  const slug = requireText(`"slug" of a workspace of person "${key}"`, membership.slug)
  const permission = membership.permission ?? 'member'
  if (!['owner', 'create-project', 'member'].includes(permission)) {
    throw new TypeError(`${what} has the permission "${permission}". Use owner, create-project or member.`)
  }
  const uuid = requireUuid(`"uuid" of workspace "${slug}"`, membership.uuid ?? derivedUuid('workspace', slug))
  return { slug, permission, uuid }
}

function requireList<T>(what: string, value: readonly T[]): readonly T[] {
  if (Array.isArray(value)) return value
  throw new TypeError(`${what} must be an array.`)
}

function requireUuid(what: string, value: string): string {
  if (UUID.test(value)) return value
  throw new TypeError(`${what} must look like ${derivedUuid('example', 'example')}: with braces, lower case.`)
}
