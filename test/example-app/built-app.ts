import { join } from 'node:path'

/** The built app's module; by a computed name, so that its global type additions stay out of this project. */
export const loadFromApp = (file: string) => import(join(__dirname, '../../example-app/dist', file))

/** Opens a database as the app does: Kysely. */
// biome-ignore lint/suspicious/noExplicitAny: typed in the app, not here
export async function openAppDatabase(where: { dataDir: string; databaseURL?: string | undefined }): Promise<any> {
  const { openDatabase } = await loadFromApp('database/database.js')
  return (await openDatabase(where, { info() {}, warn() {}, error() {} })).db
}
