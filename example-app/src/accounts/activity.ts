import { randomUUID } from 'node:crypto'
import type { Selectable } from 'kysely'
import type { Db } from '../database/database.js'
import type { ActivityTable } from '../database/schema.js'
import type { Log } from '../log.js'

/** What happened, for the people concerned and for the administrator. */
export class Activity {
  constructor(
    private readonly db: Db,
    private readonly log: Log,
  ) {}

  /** Never fails and is not waited for: a full disk in the audit list is no reason to refuse a sign-in. */
  record(type: string, userId: string | null, detail: string): void {
    this.log.info({ type, userId, detail }, 'activity')
    const row = { id: randomUUID(), at: new Date().toISOString(), user_id: userId, type, detail }
    this.db
      .insertInto('activity')
      .values(row)
      .execute()
      .catch((error: Error) => this.log.warn({ reason: error.message }, 'activity was not recorded'))
  }

  ofUser(userId: string): Promise<Selectable<ActivityTable>[]> {
    return this.db
      .selectFrom('activity')
      .selectAll()
      .where('user_id', '=', userId)
      .orderBy('at', 'desc')
      .limit(20)
      .execute()
  }

  /** The newest of everybody, for the administrator. */
  latest(): Promise<Selectable<ActivityTable>[]> {
    return this.db.selectFrom('activity').selectAll().orderBy('at', 'desc').limit(50).execute()
  }
}
