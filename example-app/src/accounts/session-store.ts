import { createHash } from 'node:crypto'
import { type SessionData, Store } from 'express-session'
import type { Selectable } from 'kysely'
import type { Db } from '../database/database.js'
import type { SessionsTable } from '../database/schema.js'

type Callback<T = void> = (error?: unknown, value?: T) => void

/** Sessions in the app's own database, so that any process serves any browser and an account can list and end its own. */
export class SqlSessionStore extends Store {
  /** Sessions that exist as a row, and when that row expires. */
  readonly #stored = new WeakMap<object, Date>()

  constructor(private readonly db: Db) {
    super()
  }

  override get(sid: string, callback: Callback<SessionData | null>): void {
    const now = new Date().toISOString()
    const query = this.db
      .selectFrom('sessions')
      .select(['data', 'expires_at'])
      .where('id', '=', rowId(sid))
      .where('expires_at', '>', now)
    settle(
      query.executeTakeFirst().then((row) => (row ? sessionOf(row) : null)),
      callback,
    )
  }

  /** Called for a session that was read from a row, not for a new one. */
  override createSession(req: Parameters<Store['createSession']>[0], data: SessionData) {
    const session = super.createSession(req, data)
    this.#stored.set(session, expiryOf(data))
    return session
  }

  override set(sid: string, session: SessionData, callback: Callback = () => {}): void {
    settle(this.#write(rowId(sid), session), callback)
  }

  async #write(id: string, session: SessionData): Promise<void> {
    const expires = expiryOf(session)
    const row = {
      user_id: session.passport?.user ?? null,
      device: session.device ?? null,
      data: JSON.stringify(session),
      expires_at: expires.toISOString(),
    }
    if (this.#stored.has(session)) {
      // Only an update: if the session was ended while this request ran, writing it again would bring it back to life.
      await this.db.updateTable('sessions').set(row).where('id', '=', id).execute()
    } else {
      await this.db
        .insertInto('sessions')
        .values({ id, created_at: new Date().toISOString(), ...row })
        .execute()
    }
    this.#stored.set(session, expires)
  }

  override touch(sid: string, session: SessionData, callback: Callback = () => {}): void {
    const expires = expiryOf(session)
    // Called at every request; a minute more or less in a life of two weeks is not worth a write.
    const due = expires.getTime() - (this.#stored.get(session)?.getTime() ?? 0) > 60_000
    // Not the data: a slow request that changed nothing would put back what a quicker one has changed meanwhile.
    const query = this.db
      .updateTable('sessions')
      .set({ expires_at: expires.toISOString() })
      .where('id', '=', rowId(sid))
    settle<unknown>(due ? query.execute() : Promise.resolve(), (error) => callback(error))
  }

  override destroy(sid: string, callback: Callback = () => {}): void {
    settle(this.db.deleteFrom('sessions').where('id', '=', rowId(sid)).execute(), (error) => callback(error))
  }
}

/** Ends the sessions of a user, all or all but one. */
export async function endSessions(db: Db, userId: string, exceptSid?: string): Promise<void> {
  const query = db.deleteFrom('sessions').where('user_id', '=', userId)
  await (exceptSid === undefined ? query : query.where('id', '!=', rowId(exceptSid))).execute()
}

/** The name of a session that may be shown: it identifies the row and opens nothing. */
export function rowId(sid: string): string {
  return createHash('sha256').update(sid).digest('base64url')
}

/** The data with the end of its row, which moves on without the data. */
function sessionOf({ data, expires_at }: Pick<Selectable<SessionsTable>, 'data' | 'expires_at'>): SessionData {
  const session = JSON.parse(data)
  return { ...session, cookie: { ...session.cookie, expires: expires_at } }
}

function expiryOf(session: SessionData): Date {
  return session.cookie.expires ? new Date(session.cookie.expires) : new Date(Date.now() + 86_400_000)
}

/** Hands a promise to a callback, outside of the promise: what the callback throws is not the query's failure. */
function settle<T>(work: Promise<T>, callback: (error: unknown, value?: T) => void): void {
  work.then(
    (value) => setImmediate(callback, null, value),
    (error: unknown) => setImmediate(callback, error),
  )
}
