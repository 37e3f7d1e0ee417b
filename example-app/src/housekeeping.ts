import type { Db } from './database/database.js'
import type { Log } from './log.js'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

/** Deletes expired rows every ten minutes. Several processes may do so concurrently. */
export function housekeeping(db: Db, log: Log): () => void {
  const clean = async () => {
    const now = Date.now()
    const iso = (ms: number) => new Date(ms).toISOString()
    await db.deleteFrom('sessions').where('expires_at', '<', iso(now)).execute()
    await db.deleteFrom('codes').where('expires_at', '<', iso(now)).execute()
    await db.deleteFrom('invitations').where('expires_at', '<', iso(now)).execute()
    await db
      .deleteFrom('mails')
      .where('at', '<', iso(now - DAY))
      .execute()
    await db
      .deleteFrom('activity')
      .where('at', '<', iso(now - 90 * DAY))
      .execute()
  }
  const timer = setInterval(
    () => clean().catch((error: Error) => log.warn({ reason: error.message }, 'housekeeping')),
    10 * MINUTE,
  )
  timer.unref()
  return () => clearInterval(timer)
}
