import { EntitySchema } from 'typeorm'

export interface User {
  id: number
  name: string | null
  email: string | null
  /** Lower case, set by the app: the same key on every database. */
  emailKey: string | null
  emailVerified: boolean
  /** `null`: signs in with Bitbucket only. */
  passwordHash: string | null
  suspended: boolean
  /** `false` after an unlink. */
  autoLink: boolean
}

export interface StoredIdentity {
  issuer: string
  /** Bitbucket's uuid; not `id`. */
  subject: string
  userId: number
  profile: object
  /** Sealed. */
  tokens: string | null
}

/** Confirmation links. Only apps that verify addresses have them. */
export interface EmailConfirmation {
  tokenHash: string
  userId: number
  emailKey: string
}

const userId = { type: Number, foreignKey: { target: 'users', onDelete: 'CASCADE' } } as const

// The same as decorators: @Entity, @Column, @Unique('users_email_lower_key', ['emailKey']), and so on.
export const users = new EntitySchema<User>({
  name: 'users',
  columns: {
    id: { type: Number, primary: true, generated: true },
    name: { type: 'text', nullable: true },
    email: { type: 'text', nullable: true },
    emailKey: { type: 'text', nullable: true },
    emailVerified: { type: Boolean, default: false },
    passwordHash: { type: 'text', nullable: true },
    suspended: { type: Boolean, default: false },
    autoLink: { type: Boolean, default: true },
  },
  uniques: [{ name: 'users_email_lower_key', columns: ['emailKey'] }],
})

export const identities = new EntitySchema<StoredIdentity>({
  name: 'identities',
  columns: {
    issuer: { type: 'text', primary: true, primaryKeyConstraintName: 'identities_key' },
    subject: { type: 'text', primary: true, primaryKeyConstraintName: 'identities_key' },
    userId,
    profile: { type: 'jsonb' },
    tokens: { type: 'text', nullable: true },
  },
  uniques: [{ name: 'identities_one_per_user', columns: ['userId', 'issuer'] }],
})

export const confirmations = new EntitySchema<EmailConfirmation>({
  name: 'email_confirmations',
  columns: { tokenHash: { type: 'text', primary: true }, userId, emailKey: { type: 'text' } },
})

export const entities = [users, identities, confirmations]
