import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Request, Response } from 'express'
import { isAlive, now } from '../time/clock'
import type { KeyRing } from './keys'
import { randomBytes } from './random'

/*
 * A sealed value, before base64url:   version 1 | key id 4 | issued 6 | iv 12 | ciphertext | tag 16
 * AES-256-GCM; the associated data are the value's name and everything before the iv, so a value cannot be
 * moved to another cookie, and its age can be read cheaply but not changed.
 */
const VERSION = 2
const HEAD = 11
const IV = 12
const TAG = 16
const MAX_SEALED = 4096
/** All our cookies travel with every request; many or large cookies end in status 431 before Express sees anything. */
const MAX_TOTAL = 4096

/** Suffixes of the sealed cookies: transactions, the pending sign-in, what was asked for, a second pass, a notice. */
const OURS = /^(?:t[\da-f]|[pnae])$/

/** The content of a sealed value. */
export interface Opened {
  /** When it was sealed, in milliseconds since 1970. */
  readonly issuedAt: number
  /** Which secret sealed it, by its place in the key ring. */
  readonly secret: number
  readonly payload: unknown
}

/** Encrypts and authenticates a value under its name. */
export function seal(keys: KeyRing, name: string, payload: unknown): string {
  const [{ id, key }] = keys
  const head = Buffer.allocUnsafe(HEAD)
  head.writeUInt8(VERSION)
  id.copy(head, 1)
  head.writeUIntBE(now(), 5, 6)
  const iv = randomBytes(IV)
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  cipher.setAAD(associatedData(name, head))
  const body = cipher.update(JSON.stringify(payload))
  cipher.final()
  return Buffer.concat([head, iv, body, cipher.getAuthTag()]).toString('base64url')
}

/** Opens a value sealed under this name by any of the keys; `undefined` for everything else. */
export function open(keys: KeyRing, name: string, sealed: string): Opened | undefined {
  if (sealed.length > MAX_SEALED) return undefined
  const bytes = Buffer.from(sealed, 'base64url')
  if (bytes.length < HEAD + IV + TAG || bytes[0] !== VERSION) return undefined
  const secret = keys.findIndex(({ id }) => id.equals(bytes.subarray(1, 5)))
  const key = keys[secret]
  if (!key) return undefined
  try {
    const decipher = createDecipheriv('aes-256-gcm', key.key, bytes.subarray(HEAD, HEAD + IV), { authTagLength: TAG })
    decipher.setAAD(associatedData(name, bytes.subarray(0, HEAD)))
    decipher.setAuthTag(bytes.subarray(-TAG))
    const body = decipher.update(bytes.subarray(HEAD + IV, -TAG))
    decipher.final()
    return { issuedAt: bytes.readUIntBE(5, 6), secret, payload: JSON.parse(body.toString()) }
  } catch {
    return undefined
  }
}

/**
 * The one value that this browser sent under this name, not older than `lifetimeMs`; `undefined` if there is none. Two mean
 * that one was planted.
 */
export function openOnly(
  keys: KeyRing,
  req: Request,
  jar: CookieJar,
  suffix: string,
  lifetimeMs: number = Number.POSITIVE_INFINITY,
): Opened | undefined {
  const [value, ...more] = jar.read(req, suffix)
  if (value === undefined || more.length > 0) return undefined
  const opened = open(keys, jar.nameOf(suffix), value)
  return opened && isAlive(opened.issuedAt, lifetimeMs) ? opened : undefined
}

function associatedData(name: string, head: Buffer): Buffer {
  return Buffer.concat([Buffer.from(name), head])
}

/** The claimed time of a sealed value, unverified; used to drop the oldest. */
export function peekIssuedAt(sealed: string): number {
  const bytes = Buffer.from(sealed.slice(0, 16), 'base64url')
  return bytes.length >= HEAD ? bytes.readUIntBE(5, 6) : 0
}

/** The cookies of one plugin at one origin. */
export interface CookieJar {
  /** Full name of one of our cookies: prefixed by `__Host-` on https, so that no sibling domain can plant it. */
  nameOf(suffix: string): string
  /** Every value sent under this name. More than one means that one was planted. */
  read(req: Request, suffix: string): readonly string[]
  /** All our cookies in the request, by suffix; the first wins when one comes twice. */
  all(req: Request): ReadonlyMap<string, string>
  /** Sets one, and drops the oldest others while their total exceeds 4 kB. */
  set(req: Request, res: Response, suffix: string, value: string, maxAgeMs: number): void
  clear(res: Response, suffix: string): void
  /** Clears one that this browser sent. */
  clearSent(req: Request, res: Response, suffix: string): void
}

/** Makes the jar for one plugin name, for https or for http on loopback. */
export function cookieJar(pluginName: string, secure: boolean): CookieJar {
  const prefix = `${secure ? '__Host-' : ''}${pluginName}.`
  const attributes = `; Path=/; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`

  /** Every cookie whose name begins with `start`: the rest of the name, and the value. */
  function pairs(req: Request, start: string): [rest: string, value: string][] {
    const header = req.headers.cookie
    const found: [string, string][] = []
    if (!header?.includes(start)) return found
    for (const pair of header.split(';')) {
      const trimmed = pair.trim()
      const equals = trimmed.indexOf('=')
      if (equals !== -1 && trimmed.startsWith(start))
        found.push([trimmed.slice(start.length, equals), trimmed.slice(equals + 1)])
    }
    return found
  }

  const clear = (res: Response, suffix: string) => {
    res.appendHeader('Set-Cookie', `${prefix}${suffix}=${attributes}; Max-Age=0`)
  }

  const read = (req: Request, suffix: string) =>
    pairs(req, prefix + suffix)
      .filter(([rest]) => rest === '')
      .map(([, value]) => value)

  const all = (req: Request) => {
    const found = new Map<string, string>()
    for (const [suffix, value] of pairs(req, prefix)) if (!found.has(suffix)) found.set(suffix, value)
    return found
  }

  function dropOldest(req: Request, res: Response, suffix: string, added: number): void {
    // An app's own cookie may share the beginning of our names.
    const others = [...all(req)].filter(([other]) => other !== suffix && OURS.test(other))
    let total = others.reduce((sum, [, value]) => sum + value.length, added)
    if (total <= MAX_TOTAL) return
    for (const [other, value] of others.sort(([, a], [, b]) => peekIssuedAt(a) - peekIssuedAt(b))) {
      clear(res, other)
      total -= value.length
      if (total <= MAX_TOTAL) return
    }
  }

  return {
    all,
    clear,
    nameOf: (suffix) => prefix + suffix,
    read,
    clearSent(req, res, suffix) {
      if (read(req, suffix).length > 0) clear(res, suffix)
    },
    set(req, res, suffix, value, maxAgeMs) {
      dropOldest(req, res, suffix, value.length)
      res.appendHeader('Set-Cookie', `${prefix}${suffix}=${value}${attributes}; Max-Age=${Math.floor(maxAgeMs / 1000)}`)
    },
  }
}
