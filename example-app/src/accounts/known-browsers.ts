import { randomUUID, timingSafeEqual } from 'node:crypto'
import type { Request, Response } from 'express'
import type { Config } from '../config.js'
import type { Sealer } from '../seal.js'

/**
 * Marks browsers in which the owner of a verified address has signed in. Their tries are counted apart, so
 * that strangers who guess cannot use up the owner's. The mark opens nothing.
 */
export class KnownBrowsers {
  readonly #cookie: string

  constructor(
    private readonly config: Config,
    private readonly sealer: Sealer,
  ) {
    this.#cookie = config.secure ? '__Host-known' : 'known'
  }

  remember(res: Response, email: string): void {
    const id = randomUUID()
    const maxAge = 365 * 24 * 60 * 60 * 1000
    const options = { httpOnly: true, sameSite: 'lax', secure: this.config.secure, maxAge } as const
    res.cookie(this.#cookie, `${id}.${this.#mark(id, email)}`, options)
  }

  /** What to count this browser's tries under, `null` = it is not known for this address. */
  idOf(req: Request, email: string): string | null {
    const cookies = req.headers.cookie?.split('; ') ?? []
    const [id = '', mark = ''] =
      cookies
        .find((each) => each.startsWith(`${this.#cookie}=`))
        ?.split(/[=.]/)
        .slice(1) ?? []
    const [given, wanted] = [Buffer.from(mark), Buffer.from(this.#mark(id, email))]
    return given.length === wanted.length && timingSafeEqual(given, wanted) ? id : null
  }

  #mark(id: string, email: string): string {
    return this.sealer.mac('known-browser', `${id} ${email.toLowerCase()}`)
  }
}
