/** Which unique key refused a row, as far as the driver says. */
export interface UniqueViolation {
  /** Name of the constraint or index, `null` if the driver does not name it (SQLite). */
  readonly constraint: string | null
  /** Names of the columns without their table, empty if the driver does not name them (MySQL, MariaDB). */
  readonly columns: readonly string[]
}

/**
 * Which unique key refused, or `null` if the error is something else. Reads the errors of `pg`, `postgres`,
 * better-sqlite3, `node:sqlite`, sqlite3, mysql2, mariadb, MongoDB and Mongoose, also inside the errors of Prisma, Drizzle,
 * Kysely, Knex, Sequelize and TypeORM. Never looks for a name inside a stored value: an address may contain one.
 *
 * @example
 * const violated = uniqueViolation(error)
 * if (violated?.constraint === 'users_email') throw new EmailTakenError(undefined, { cause: error })
 * if (violated) throw new IdentityTakenError(undefined, { cause: error })
 */
export function uniqueViolation(error: unknown): UniqueViolation | null {
  const seen = new Set<unknown>()
  let inside: readonly unknown[] = [error]
  while (inside.length > 0 && seen.size < MAX_ERRORS) {
    const errors = inside.filter((each) => isObject(each) && !seen.has(each)) as DriverError[]
    for (const each of errors) {
      seen.add(each)
      const violation = ofPrisma(each) ?? ofPostgres(each) ?? ofSqlite(each) ?? ofMySql(each) ?? ofMongo(each)
      if (violation) return violation
    }
    inside = errors.flatMap(wrappedIn)
  }
  return null
}

const MAX_ERRORS = 20

/** What drivers and libraries put on their errors. */
interface DriverError {
  readonly [key: string]: unknown
}

/** Properties in which libraries keep the driver's error. */
function wrappedIn(error: DriverError): unknown[] {
  const { cause, original, parent, driverError, nativeError, writeErrors, err } = error
  return [cause, original, parent, driverError, nativeError, err, ...(Array.isArray(writeErrors) ? writeErrors : [])]
}

/** Prisma 7 reports `P2002`, and `P2010` for raw SQL; before, `meta.target` has the columns or the name. */
function ofPrisma({ code, meta }: DriverError): UniqueViolation | null {
  if ((code !== 'P2002' && code !== 'P2010') || !isObject(meta)) return null
  const { driverAdapterError: adapter, target } = meta
  const cause = isObject(adapter) && isObject(adapter.cause) ? adapter.cause : {}
  const { kind, originalCode, constraint } = cause
  const isUnique = kind === 'UniqueConstraintViolation' || UNIQUE_CODES.has(String(originalCode))
  if (code === 'P2010' && !isUnique) return null
  const { index, fields } = isObject(constraint) ? constraint : {}
  if (typeof target === 'string') return { constraint: target, columns: [] }
  return {
    constraint: typeof index === 'string' ? withoutTable(index) : null,
    columns: names(fields ?? target).map(lastName),
  }
}

const UNIQUE_CODES = new Set([
  '23505',
  'SQLITE_CONSTRAINT_UNIQUE',
  'SQLITE_CONSTRAINT_PRIMARYKEY',
  '2067',
  '1555',
  '1062',
])

/** `detail` begins with the columns, before any value: `Key (issuer, id)=(…) already exists.` */
function ofPostgres({ code, constraint, constraint_name, detail }: DriverError): UniqueViolation | null {
  if (code !== '23505') return null
  const name = constraint ?? constraint_name
  const columns = typeof detail === 'string' ? (/^[^(]*\((.+?)\)=\(/.exec(detail)?.[1] ?? '') : ''
  return {
    constraint: typeof name === 'string' ? name : null,
    // An expression such as lower(email) is not a column.
    columns: columns
      .split(', ')
      .filter((each) => each !== '' && !/[()]/.test(each))
      .map(lastName),
  }
}

const UNIQUE_FAILED = 'UNIQUE constraint failed: '
/** `users.email`, or `identities.issuer, identities.id`, to the end of the message. */
const SQLITE_COLUMNS = /^[^\s'"`.,()]+\.[^\s'"`.,()]+(?:, [^\s'"`.,()]+\.[^\s'"`.,()]+)*$/
/** An index on an expression is named instead. */
const SQLITE_INDEX = /^index '([^']+)'$/

/**
 * The driver's own text ends the message; Knex puts the statement with its values before it. The code of sqlite3 does
 * not tell unique keys from other constraints, and @photostructure/sqlite sets no `errcode` for a statement that returns
 * rows: there the end of the message decides.
 */
function ofSqlite({ code, errcode, message }: DriverError): UniqueViolation | null {
  const isUnique = /^SQLITE_CONSTRAINT_(?:UNIQUE|PRIMARYKEY|ROWID)$/.test(String(code)) || SQLITE_ERRCODES.has(errcode)
  if (!isUnique && code !== 'SQLITE_CONSTRAINT' && code !== 'ERR_SQLITE_ERROR') return null
  const text = String(message)
  const at = text.lastIndexOf(UNIQUE_FAILED)
  const end = at < 0 ? '' : text.slice(at + UNIQUE_FAILED.length)
  const index = SQLITE_INDEX.exec(end)?.[1]
  if (index !== undefined) return { constraint: index, columns: [] }
  if (SQLITE_COLUMNS.test(end)) return { constraint: null, columns: end.split(', ').map(lastName) }
  return isUnique ? { constraint: null, columns: [] } : null
}

const SQLITE_ERRCODES = new Set<unknown>([2067, 1555, 2579])

/** `sqlMessage` ends with the key, after the value: `Duplicate entry '…' for key 'users.users_email'`. */
function ofMySql({ errno, code, sqlMessage, text, message }: DriverError): UniqueViolation | null {
  if (errno !== 1062 && errno !== 1586 && code !== 'ER_DUP_ENTRY') return null
  // mariadb 2 calls it `text`; in its `message` the statement with its values follows.
  const words = [sqlMessage, text, message].find((each) => typeof each === 'string') ?? ''
  const key = / for key '([^']+)'$/.exec(String(words))?.[1]
  return { constraint: key === undefined ? null : withoutTable(key), columns: [] }
}

/** The message begins with the index, before any value. */
function ofMongo({ code, keyPattern, message, errmsg }: DriverError): UniqueViolation | null {
  if (code !== 11000 && code !== 11001) return null
  const words = String(errmsg ?? message)
  const index = /^[^{]*? index: (\S+) dup key: /.exec(words)?.[1]
  // A bulk write error is generic; only its parts name the key.
  if (index === undefined && keyPattern === undefined) return null
  return { constraint: index ?? null, columns: isObject(keyPattern) ? Object.keys(keyPattern) : [] }
}

function isObject(value: unknown): value is DriverError {
  return typeof value === 'object' && value !== null
}

function names(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : []
}

/** `"users"."email"` or `users.email` as `email`. */
function lastName(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1).replace(/["`]/g, '')
}

/** MySQL 8 names the table as well: `users.users_email`. */
function withoutTable(key: string): string {
  return key.slice(key.indexOf('.') + 1)
}
