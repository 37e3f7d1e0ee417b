import { format, inspect } from 'node:util'
import { expect, test } from 'vitest'
import { Secret } from '../../src/contract/secret'

test('a secret is returned by reveal() only, and never printed', () => {
  const secret = new Secret('the value')
  expect(secret.reveal()).toBe('the value')
  const holder = { secret, nested: [{ secret }] }
  const views = [
    `${secret}`,
    String(secret),
    JSON.stringify(holder),
    inspect(holder, { depth: 9, showHidden: true, getters: true }),
    format('%s %o %O %j', secret, secret, secret, secret),
    Object.values(secret).join(),
    Object.getOwnPropertyNames(secret).join(),
    JSON.stringify({ ...secret }),
    new Error('failed', { cause: secret }).toString(),
  ]
  for (const view of views) expect(view).not.toContain('the value')
  expect(inspect(holder)).toContain('[secret]')
})
