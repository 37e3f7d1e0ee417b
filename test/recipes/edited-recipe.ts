import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AccountHooks } from 'passport-bitbucket-signin'
import type { Pool } from 'pg'
import { runnerImport } from 'vite'
import { expect } from 'vitest'
import type { User } from '../../recipes/pg/accounts'
import { RECIPE } from './pg-harness'

/** A text of the pg recipe, and what stands there instead. */
export interface Edit {
  readonly file: 'accounts' | 'claim-address'
  /** Text that is there exactly once. */
  readonly find: string
  readonly replace: string
}

/** What the recipe needs of the package; the whole of it would be loaded anew for each edit. */
const PACKAGE = join(__dirname, 'package-parts.ts')

/** The hooks of the pg recipe, with some texts replaced. */
export async function hooksWith(edits: readonly Edit[], pool: Pool): Promise<AccountHooks<User>> {
  for (const { file, find } of edits) {
    const source = readFileSync(join(RECIPE, `${file}.ts`), 'utf8')
    expect(source.split(find).length - 1, `"${find}" is in ${file}.ts once`).toBe(1)
  }
  const plugin = {
    name: 'edit-recipe',
    enforce: 'pre' as const,
    transform: (code: string, id: string) =>
      edits
        .filter(({ file }) => id.endsWith(`/${file}.ts`))
        .reduce((text, { find, replace }) => text.replace(find, () => replace), code)
        .replace("from 'passport-bitbucket-signin'", `from '${PACKAGE}'`),
  }
  const load = async (file: string) =>
    (
      await runnerImport<Record<string, (pool: Pool) => never>>(join(RECIPE, file), {
        configFile: false,
        logLevel: 'error',
        plugins: [plugin],
      })
    ).module
  const { accountHooks } = await load('accounts.ts')
  const { claimAddress } = await load('claim-address.ts')
  return { ...(accountHooks?.(pool) as unknown as AccountHooks<User>), claimAddress: claimAddress?.(pool) as never }
}
