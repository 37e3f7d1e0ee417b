import type { Database } from 'better-sqlite3'
import type { AccountHooks, Identity, Profile } from 'passport-bitbucket-signin'
import { sealTokens } from '../shared/seal-tokens'
import { stillStored } from '../shared/still-stored'
import { takenError } from '../shared/taken-error'

export interface User {
  id: number
  name: string | null
  email: string | null
  email_verified: 0 | 1
  password_hash: string | null
  suspended: 0 | 1
  auto_link: 0 | 1
}

/** Without it, SQLite ignores REFERENCES, and deleted users leave unusable identities behind. */
export const PRAGMAS = 'PRAGMA foreign_keys = ON; PRAGMA journal_mode = WAL'

/** All hooks except `claimAddress`, which is only for apps that verify addresses. */
export function accountHooks(db: Database): AccountHooks<User> {
  const byId = db.prepare<[number | bigint], User>('SELECT * FROM users WHERE id = ?')
  const byEmail = db.prepare<[string], User>('SELECT * FROM users WHERE lower(email) = lower(?)')
  const byIdentity = db.prepare<[string, string], User>(
    'SELECT users.* FROM users JOIN identities ON user_id = users.id WHERE issuer = ? AND subject = ?',
  )
  const identities = db.prepare<[number], { issuer: string; subject: string; profile: string }>(
    'SELECT issuer, subject, profile FROM identities WHERE user_id = ?',
  )

  return {
    getUserByIdentity: ({ identity }) => byIdentity.get(identity.issuer, identity.id) ?? null,

    getUserById: ({ id }) => byId.get(Number(id)) ?? null,

    getAccountsByEmail: ({ email }) =>
      byEmail.all(email).map((user) => ({
        user,
        email: user.email ?? '',
        emailVerified: user.email_verified === 1,
        autoLink: user.auto_link === 1,
      })),

    createUser: ({ identity, profile, email }) =>
      transaction(db, () => {
        const insert = db.prepare('INSERT INTO users (name, email, email_verified) VALUES (?, ?, ?)')
        const { lastInsertRowid } = insert.run(profile.displayName, email?.address ?? null, email?.verified ? 1 : 0)
        storeIdentity(db, lastInsertRowid, identity, profile)
        return byId.get(lastInsertRowid) as User
      }),

    linkIdentity: ({ user: { id }, identity, profile, email }) =>
      transaction(db, () => {
        // Read again: the user may have been suspended or deleted since the request began.
        const user = byId.get(id)
        if (!user || user.suspended) throw new Error('The user may no longer sign in.')
        storeIdentity(db, id, identity, profile)
        const verify = db.prepare('UPDATE users SET email_verified = 1 WHERE id = ? AND lower(email) = lower(?)')
        if (email) verify.run(id, email.address)
      }),

    unlinkIdentity: ({ user: { id }, identity, remaining }) =>
      transaction(db, () => {
        if (!byId.get(id)?.password_hash && !stillStored(remaining, identities.all(id))) return 'last'
        const remove = db.prepare('DELETE FROM identities WHERE issuer = ? AND subject = ? AND user_id = ?')
        remove.run(identity.issuer, identity.id, id)
        db.prepare('UPDATE users SET auto_link = 0 WHERE id = ?').run(id)
        return 'unlinked'
      }),

    listIdentities: ({ user }) =>
      identities
        .all(user.id)
        .map(({ issuer, subject, profile }) => ({ issuer, id: subject, profile: JSON.parse(profile) })),

    describeUser: ({ user }) => ({
      label: user.name ?? user.email ?? 'your account',
      email: user.email,
      emailVerified: user.email_verified === 1,
    }),

    storeTokens({ identity: { issuer, id }, tokens }) {
      const update = db.prepare('UPDATE identities SET tokens = ? WHERE issuer = ? AND subject = ?')
      update.run(sealTokens(tokens, id), issuer, id)
    },

    updateProfile({ identity: { issuer, id }, profile }) {
      const update = db.prepare('UPDATE identities SET profile = ? WHERE issuer = ? AND subject = ?')
      update.run(stored(profile), issuer, id)
    },

    canSignIn: ({ user }) => !user.suspended || 'suspended',

    endOtherSessions({ req, user }) {
      // The table of better-sqlite3-session-store.
      const end = db.prepare("DELETE FROM sessions WHERE json_extract(sess, '$.passport.user') = ? AND sid <> ?")
      end.run(user.id, req.sessionID)
    },
  }
}

export function storeIdentity(db: Database, userId: number | bigint, { issuer, id }: Identity, profile: Profile): void {
  const insert = db.prepare('INSERT INTO identities (issuer, subject, user_id, profile) VALUES (?, ?, ?, ?)')
  insert.run(issuer, id, userId, stored(profile))
}

function stored({ username, nickname, displayName, avatarUrl }: Profile): string {
  return JSON.stringify({ username, nickname, displayName, avatarUrl })
}

/** All or nothing. `immediate` takes the write lock first, so that other processes wait instead of failing halfway. */
export function transaction<T>(db: Database, work: () => T): T {
  try {
    return db.transaction(work).immediate()
  } catch (error) {
    throw takenError(error)
  }
}
