import type { Request, Response } from 'express'
import { Secret } from '../../src/contract/secret'
import { deriveKeys, type KeyPurpose, type KeyRing } from '../../src/state/keys'
import { createLimits, type Limits } from '../../src/state/limits'
import { memoryLimiter } from '../../src/state/memory-limiter'

/** The cookies of one browser, without a network: requests carry them, responses change them. */
export class Cookies {
  readonly values = new Map<string, string>()
  /** Every `Set-Cookie` line, as it was set. */
  readonly lines: string[] = []

  /** A request of this browser, with a cookie planted before or after. */
  req(extra: { before?: string; after?: string } = {}): Request {
    const own = [...this.values].map(([name, value]) => `${name}=${value}`)
    const cookie = [extra.before, ...own, extra.after].filter((pair) => pair !== undefined).join('; ')
    return { headers: { ...(cookie !== '' && { cookie }) } } as Request
  }

  readonly res = {
    appendHeader: (name: string, line: string) => {
      if (name.toLowerCase() !== 'set-cookie') throw new Error(`an unexpected header: ${name}`)
      this.lines.push(line)
      const [pair = ''] = line.split(';')
      const equals = pair.indexOf('=')
      if (/; Max-Age=0$/.test(line)) this.values.delete(pair.slice(0, equals))
      else this.values.set(pair.slice(0, equals), pair.slice(equals + 1))
    },
  } as unknown as Response

  /** The same browser, restored from an older backup. */
  copy(): Cookies {
    const copy = new Cookies()
    for (const [name, value] of this.values) copy.values.set(name, value)
    return copy
  }

  /** Bytes of all values together, as every request sends them. */
  get bytes(): number {
    return [...this.values.values()].reduce((sum, value) => sum + value.length, 0)
  }
}

/** The keys of one purpose, newest secret first. */
export function keyRing(purpose: KeyPurpose, secrets = ['a'.repeat(32)], name = 'bitbucket'): KeyRing {
  return deriveKeys(
    secrets.map((secret) => new Secret(secret)),
    name,
    purpose,
  )
}

/** Counters in memory. */
export function limits(): Limits {
  return createLimits('bitbucket', memoryLimiter)
}

/** Runs the same thing 50 times concurrently and returns how often it was true. */
export async function timesTrue(attempt: () => Promise<boolean>): Promise<number> {
  const answers = await Promise.all(Array.from({ length: 50 }, attempt))
  return answers.filter(Boolean).length
}
