import { createHash, randomUUID } from 'node:crypto'
import { type Selectable, sql } from 'kysely'
import type { Db } from '../database/database.js'
import type { ActivityTable } from '../database/schema.js'
import type { Log } from '../log.js'

/** An entry, and who it is about. */
export type ActivityEntry = Selectable<ActivityTable> & { readonly name: string | null }

/** What strangers can cause as often as they like. One row counts those of the same kind within an hour. */
const COUNTED = ['refused', 'code_failed', 'code_sent', 'upstream_failed', 'scope_missing']
const PAGE = 25

/** What happened, for the users concerned and for the administrator. */
export class Activity {
  constructor(
    private readonly db: Db,
    private readonly log: Log,
  ) {}

  /** Never fails and is not awaited: a failure of the audit list must not refuse a sign-in. */
  record(type: string, userId: string | null, tenant: string | null, detail: string): void {
    this.log.info({ type, userId, tenant, detail }, 'activity')
    const at = new Date().toISOString()
    const kind = JSON.stringify([at.slice(0, 13), type, userId, tenant, detail])
    const id = COUNTED.includes(type) ? createHash('sha256').update(kind).digest('base64url') : randomUUID()
    this.db
      .insertInto('activity')
      .values({ id, at, user_id: userId, tenant, type, detail, count: 1 })
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ at, count: sql`activity.count + 1` }))
      .execute()
      .catch((error: Error) => this.log.warn({ reason: error.message }, 'activity was not recorded'))
  }

  ofUser(userId: string): Promise<ActivityEntry[]> {
    return this.#entries().where('user_id', '=', userId).limit(20).execute()
  }

  /** One page of everything, or of one tenant; newest first. */
  async page(tenant: string | null, page: number): Promise<{ events: ActivityEntry[]; hasMore: boolean }> {
    const all = this.#entries()
    const of = tenant === null ? all : all.where('activity.tenant', '=', tenant)
    const events = await of
      .limit(PAGE + 1)
      .offset((page - 1) * PAGE)
      .execute()
    return { events: events.slice(0, PAGE), hasMore: events.length > PAGE }
  }

  #entries() {
    return this.db
      .selectFrom('activity')
      .leftJoin('users', 'users.id', 'activity.user_id')
      .selectAll('activity')
      .select('users.name')
      .orderBy('activity.at', 'desc')
  }
}
