import type { AnyZodObject } from 'zod/v3'
import { closest } from '../contract/closest'
import { optionGroups } from './zod'

/** The fix for an option that does not exist. */
export function adviceOn(key: string, schema: AnyZodObject, path: readonly PropertyKey[]): string {
  const known = knownKeys(schema, path)
  const elsewhere = groupOf(key)
  if (elsewhere !== undefined) return `It belongs in ${elsewhere}.`
  const guess = closest(key, known)
  if (guess !== undefined) return `Did you mean \`${guess}\`?`
  const meant = OTHER_NAMES.get(key.toLowerCase().replaceAll(/[^a-z]/g, ''))
  if (meant === undefined) return 'Remove it.'
  if (known.includes(meant)) return `Did you mean \`${meant}\`?`
  return `Did you mean \`${meant}\` in ${groupOf(meant) ?? 'another place'}?`
}

const groupOf = (key: string): string | undefined => [...optionGroups].find(([, names]) => names().includes(key))?.[0]

/** Names of our options in other packages and the OAuth specifications, in lower case without punctuation. */
const OTHER_NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    redirecturi: 'callbackURL',
    redirecturl: 'callbackURL',
    callback: 'callbackURL',
    consumerkey: 'clientID',
    key: 'clientID',
    consumersecret: 'clientSecret',
    secret: 'clientSecret',
    allowsignup: 'signUp',
    allowsignups: 'signUp',
    disablesignup: 'signUp',
    allowregistration: 'signUp',
    trusted: 'trustedProvider',
    trustemail: 'trustedProvider',
    domains: 'origins',
    hosts: 'origins',
    organizations: 'workspaces',
    teams: 'workspaces',
    hooks: 'accounts',
    users: 'accounts',
    sessionsecret: 'secrets',
    mailer: 'sendEmailCode',
    successredirect: 'signedIn',
    failureredirect: 'failed',
    loginpath: 'signIn',
    linkunverified: 'localAddresses',
  }),
)

/** The keys allowed where an unknown one was found: walks the schema along the path. */
function knownKeys(schema: AnyZodObject, path: readonly PropertyKey[]): readonly string[] {
  type Node = { shape?: Record<PropertyKey, Node>; _def?: { innerType?: Node; schema?: Node } }
  let node: Node | undefined = schema as unknown as Node
  const unwrap = (each: Node | undefined): Node | undefined =>
    each && !each.shape && (each._def?.innerType ?? each._def?.schema)
      ? unwrap(each._def.innerType ?? each._def.schema)
      : each
  for (const step of path) node = unwrap(node?.shape?.[step])
  return Object.keys(unwrap(node)?.shape ?? {})
}
