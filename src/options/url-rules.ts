import type { BlockList } from 'node:net'
import { isLoopback } from '../contract/urls'
import type { Zod } from './zod'

/** One rule for a URL, and the message when it is broken. Rules are asked in order; the first broken one is reported. */
export type UrlRule = readonly [holds: (url: URL) => boolean, message: string]

/** A URL as a string that satisfies the rules. */
export function urlSchema(z: Zod, notAbsolute: string, rules: readonly UrlRule[]) {
  return z.string({ message: notAbsolute }).superRefine((value, context) => {
    const message = brokenRule(value, notAbsolute, rules)
    if (message !== undefined) context.addIssue({ code: 'custom', message })
  })
}

/** The message of the first rule that this URL breaks. */
export function brokenRule(value: string, notAbsolute: string, rules: readonly UrlRule[]): string | undefined {
  // The parser would drop them, and Bitbucket compares the callback as it is written.
  if (value !== value.trim()) return 'begins or ends with a space or line break. Remove it'
  if (!URL.canParse(value)) return notAbsolute
  const url = new URL(value)
  return [PLAIN_HOST, ...rules].find(([holds]) => !holds(url))?.[1]
}

/**
 * Browsers accept `;`, `'` and `*` in a host. In our Content-Security-Policy, a semicolon would begin another
 * directive; and a pattern would be compared literally and match nothing.
 */
const PLAIN_HOST: UrlRule = [
  ({ protocol, host }) => !WEB.has(protocol) || /^[\w.:[\]-]+$/.test(host),
  'must not contain `*` or punctuation in its host; list every host',
]

const WEB: ReadonlySet<string> = new Set(['http:', 'https:'])

export const IS_WEB: UrlRule = [({ protocol }) => WEB.has(protocol), 'must begin with https://']

/** `otherwise` names the fix for a host that is not loopback. */
export const isSecure = (otherwise: string): UrlRule => [
  ({ protocol, hostname }) => protocol === 'https:' || isLoopback(hostname),
  `must be https; plain http is for loopback only (localhost, 127.0.0.1). ${otherwise}`,
]

export const NO_CREDENTIALS: UrlRule = [
  ({ username, password }) => username === '' && password === '',
  'must not contain a username or password',
]

export const NO_FRAGMENT: UrlRule = [({ href }) => !href.includes('#'), 'must not have a fragment (`#…`)']

export const NO_QUERY: UrlRule = [({ href }) => !href.includes('?'), 'must not have a query (`?…`)']

/** Whether a literal host is inside a private network. DNS is not queried, so a name that resolves to one is not detected. */
export function isPrivateHost(hostname: string): boolean {
  if (isLoopback(hostname)) return false
  // A dot at the end means the same host.
  const host = hostname.replace(/^\[|\]$|\.$/g, '')
  if (/\.(?:local|localhost|internal|lan|home|intranet)$/.test(host) || (!host.includes('.') && !host.includes(':')))
    return true
  // URLs hold IPv4 as dotted digits, and IPv6 in brackets; the rest would take 3 ms at startup.
  if (!/^[\d.]+$|:/.test(host)) return false
  const { isIP } = require('node:net') as typeof import('node:net')
  const family = isIP(host)
  return family !== 0 && privateNetworks().check(host, family === 4 ? 'ipv4' : 'ipv6')
}

let networks: BlockList | undefined

/** Made once: behind a proxy that forwards an address as the host, every start asks. */
function privateNetworks(): BlockList {
  if (networks) return networks
  const { BlockList } = require('node:net') as typeof import('node:net')
  networks = new BlockList()
  // These match in their IPv6 spelling as well (::ffff:10.0.0.1).
  for (const [net, bits] of [
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.0.0.0', 24],
    ['192.168.0.0', 16],
    ['198.18.0.0', 15],
  ] as const) {
    networks.addSubnet(net, bits, 'ipv4')
  }
  for (const [net, bits] of [
    ['::', 127],
    // IPv4 in other clothes: translated (SIIT, NAT64) and 6to4.
    ['::ffff:0:0:0', 96],
    ['64:ff9b::', 96],
    ['64:ff9b:1::', 48],
    ['2002::', 16],
    ['fc00::', 7],
    ['fe80::', 10],
    ['fec0::', 10],
  ] as const)
    networks.addSubnet(net, bits, 'ipv6')
  return networks
}
