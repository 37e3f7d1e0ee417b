import { type Connection, type HydratedDocument, Schema, type Types } from 'mongoose'

export interface UserRecord {
  _id: Types.ObjectId
  name: string | null
  email: string | null
  /** Lower case, set by the app. */
  emailKey: string | null
  emailVerified: boolean
  /** `null`: signs in with Bitbucket only. */
  passwordHash: string | null
  suspended: boolean
  /** `false` after an unlink. */
  autoLink: boolean
  /** Inside the user, so that a sign-up is one write, and an unlink sees the password and all identities together. */
  identities: { issuer: string; subject: string; profile: object; tokens: string | null }[]
}

export type User = HydratedDocument<UserRecord>

const text = { type: String, default: null }

const users = new Schema<UserRecord>({
  name: text,
  email: text,
  emailKey: text,
  emailVerified: { type: Boolean, default: false },
  passwordHash: text,
  suspended: { type: Boolean, default: false },
  autoLink: { type: Boolean, default: true },
  identities: [{ _id: false, issuer: String, subject: String, profile: Schema.Types.Mixed, tokens: text }],
})
// Partial, so that users without an address or without an identity are not duplicates.
users.index(
  { emailKey: 1 },
  { unique: true, name: 'users_email', partialFilterExpression: { emailKey: { $type: 'string' } } },
)
users.index(
  { 'identities.issuer': 1, 'identities.subject': 1 },
  { unique: true, name: 'users_identity', partialFilterExpression: { 'identities.subject': { $exists: true } } },
)

/** Your confirmation links. Only apps that verify addresses have them. */
const confirmations = new Schema({ userId: Schema.Types.ObjectId, emailKey: String })

export function defineModels(connection: Connection) {
  return {
    connection,
    users: connection.model('User', users),
    confirmations: connection.model('EmailConfirmation', confirmations),
  }
}

export type Models = ReturnType<typeof defineModels>
