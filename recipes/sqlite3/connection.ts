import sqlite3, { type Database } from 'sqlite3'

type Value = string | number | null

/** sqlite3 with promises. */
export class Connection {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  /** A dedicated connection to the same file. It waits for the write lock of others, and enforces foreign keys. */
  static async openSameFile(db: Database): Promise<Connection> {
    const { filename } = db as Database & { readonly filename: string }
    const opened = await new Promise<Database>((resolve, reject) => {
      const own: Database = new sqlite3.Database(filename, (error) => (error ? reject(error) : resolve(own)))
    })
    opened.configure('busyTimeout', 10_000)
    const connection = new Connection(opened)
    await connection.run('PRAGMA foreign_keys = ON')
    return connection
  }

  all<Row>(sql: string, ...values: Value[]): Promise<Row[]> {
    return new Promise((resolve, reject) => {
      this.#db.all<Row>(sql, values, (error, rows) => (error ? reject(error) : resolve(rows)))
    })
  }

  async get<Row>(sql: string, ...values: Value[]): Promise<Row | undefined> {
    return (await this.all<Row>(sql, ...values))[0]
  }

  /** The number of rows that changed. */
  run(sql: string, ...values: Value[]): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#db.run(sql, values, function (error) {
        error ? reject(error) : resolve(this.changes)
      })
    })
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#db.close((error) => (error ? reject(error) : resolve()))
    })
  }
}
