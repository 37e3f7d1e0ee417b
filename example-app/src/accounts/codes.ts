import { randomInt, randomUUID, timingSafeEqual } from 'node:crypto'
import type { Selectable } from 'kysely'
import type { Db } from '../database/database.js'
import type { CodesTable } from '../database/schema.js'
import type { Sealer } from '../seal.js'

/** What a code will be good for, once it comes back. */
export type CodeRequest = Pick<CodesTable, 'purpose' | 'email'> &
  Partial<Pick<CodesTable, 'user_id' | 'name' | 'password_hash'>>

const MINUTES = 10
const TRIES = 5

/** One-time codes for our own sign-up, address check and password reset. The id stays in the browser's session. */
export class Codes {
  constructor(
    private readonly db: Db,
    private readonly sealer: Sealer,
  ) {}

  /** With `decoy` no code matches: the user gets the usual page, and no code ever works. */
  async issue(request: CodeRequest, { decoy }: { decoy: boolean }): Promise<{ id: string; code: string }> {
    const id = randomUUID()
    const digits = String(randomInt(1e8)).padStart(8, '0')
    const row = {
      ...{ user_id: null, name: null, password_hash: null },
      ...request,
      id,
      code_hash: decoy ? '' : this.#hash(id, digits),
      attempts: 0,
      expires_at: new Date(Date.now() + MINUTES * 60_000).toISOString(),
    }
    await this.db.insertInto('codes').values(row).execute()
    return { id, code: `${digits.slice(0, 4)} ${digits.slice(4)}` }
  }

  /** What the code was asked for, once. The try is counted before the comparison, so parallel guesses count too. */
  async redeem(id: string, typed: string): Promise<Selectable<CodesTable> | 'wrong' | 'gone'> {
    const row = await this.db
      .updateTable('codes')
      .set((eb) => ({ attempts: eb('attempts', '+', 1) }))
      .where('id', '=', id)
      .where('attempts', '<', TRIES)
      .where('expires_at', '>', new Date().toISOString())
      .returningAll()
      .executeTakeFirst()
    if (!row) return 'gone'
    const given = Buffer.from(this.#hash(id, typed.replace(/\D/g, '')))
    const wanted = Buffer.from(row.code_hash)
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return 'wrong'
    const { numDeletedRows } = await this.db.deleteFrom('codes').where('id', '=', id).executeTakeFirstOrThrow()
    return Number(numDeletedRows) === 1 ? row : 'gone'
  }

  #hash(id: string, digits: string): string {
    return this.sealer.mac('email-code', `${id} ${digits}`)
  }
}
