/**
 * The tables. The same SQL runs on SQLite and PostgreSQL, so booleans are 0 or 1, timestamps are ISO text and
 * documents are JSON text: nothing that the two would hand back differently.
 */
export interface Tables {
  users: UsersTable
  identities: IdentitiesTable
  sessions: SessionsTable
  codes: CodesTable
  tokens: TokensTable
  connections: ConnectionsTable
  activity: ActivityTable
  notes: NotesTable
  mails: MailsTable
  invitations: InvitationsTable
  /** Which migrations have been applied. */
  migrations: { name: string }
}

export interface UsersTable {
  id: string
  name: string
  email: string | null
  /** Unique: one account per address, however it is written. */
  email_lower: string | null
  email_verified: number
  password_hash: string | null
  status: 'active' | 'suspended'
  /** 0 after an unlink: never link to this account by address alone again. */
  auto_link: number
  /** From the workspace, as the last sign-in with Bitbucket found it. */
  role: Role | null
  /** Granted by hand: may remove every note. */
  tidies: number
  created_at: string
}

/** What a member of the company may do, from the least to the greatest. */
export type Role = 'viewer' | 'editor' | 'admin'

/** Primary key (issuer, provider_user_id): one Bitbucket person, one account. Unique (user_id, issuer). */
export interface IdentitiesTable {
  issuer: string
  provider_user_id: string
  user_id: string
  nickname: string | null
  profile: string
  created_at: string
}

export interface SessionsTable {
  /** SHA-256 of the session id: who reads this table cannot use what it holds. */
  id: string
  user_id: string | null
  data: string
  device: string | null
  created_at: string
  expires_at: string
}

export interface CodesTable {
  id: string
  purpose: 'sign-up' | 'verify' | 'reset'
  email: string
  user_id: string | null
  name: string | null
  password_hash: string | null
  code_hash: string
  attempts: number
  expires_at: string
}

export interface TokensTable {
  issuer: string
  provider_user_id: string
  sealed: string
  expires_at: string | null
}

export interface ConnectionsTable {
  /** `default`, or a tenant's id. */
  level: string
  settings: string
  client_secret: string | null
  updated_at: string
}

export interface ActivityTable {
  id: string
  at: string
  user_id: string | null
  /** Whose site it happened on, `null` = the product's own. */
  tenant: string | null
  type: string
  detail: string
  /** How often within the hour, for what is counted. */
  count: number
}

/** An invitation to tidy the board, for one address. */
export interface InvitationsTable {
  /** SHA-256 of the token in the link: anyone who reads this table cannot use what it holds. */
  id: string
  email_lower: string
  expires_at: string
}

export interface NotesTable {
  id: string
  tenant: string
  user_id: string
  body: string
  created_at: string
}

export interface MailsTable {
  id: string
  at: string
  recipient: string
  subject: string
  body: string
}
