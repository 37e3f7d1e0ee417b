import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ERROR_STATUS, type ErrorCode } from 'passport-bitbucket-signin'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'
import { ROOT, read } from './documents'

/*
 * docs/json-api.md against the code: routes of the router, fields that the routes read, outcomes, pages and codes.
 */

const BASE = '/auth/bitbucket'
const JSON_ONLY = { accept: 'application/json' }

/** The rows of the first table under a heading. */
function tablesUnder(heading: string): string[][] {
  const text = read('docs/json-api.md')
  const from = text.indexOf(`\n## ${heading}\n`)
  expect(from, heading).toBeGreaterThan(-1)
  const to = text.indexOf('\n## ', from + 1)
  const lines = text.slice(from, to === -1 ? undefined : to).split('\n')
  return lines
    .filter(
      (line, index) => line.startsWith('|') && !/^\|[-|]+$/.test(line) && !/^\|[-|]+$/.test(lines[index + 1] ?? ''),
    )
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
}

const codesIn = (cell = '') => [...cell.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)

const routes = tablesUnder('Routes').map(([route = '', fields, outcomes, errors]) => ({
  route: route.replaceAll('`', ''),
  fields: codesIn(fields).filter((each) => !['link', 'switch', 'confirm'].includes(each)),
  outcomes: codesIn(outcomes),
  errors: codesIn(errors),
}))
const everywhere = tablesUnder('Errors').map(([code = '', status]) => ({
  code: code.replaceAll('`', '') as ErrorCode,
  status: Number(status),
}))
const pages = tablesUnder('Pages').map(([name = '', fields, forms]) => ({
  name: name.replaceAll('`', ''),
  fields: [...codesIn((fields ?? '').replace(/\([^)]*\)/g, '')), ...codesIn((forms ?? '').replace(/\([^)]*\)/g, ''))],
}))

let fake: FakeBitbucket
let app: TestApp
beforeAll(async () => {
  fake = await startFakeBitbucket()
  app = await startTestApp({ fake, without: ['storeTokens'] })
})
afterAll(async () => {
  await app.close()
  await fake.close()
})

const ROUTES_SOURCE = readdirSync(join(ROOT, 'src/routes'))
  .map((file) => readFileSync(join(ROOT, 'src/routes', file), 'utf8'))
  .join('\n')

describe('the tables of the JSON API', () => {
  test('have each route of the router, and no other', () => {
    const source = readFileSync(join(ROOT, 'src/routes/page-routes.ts'), 'utf8')
    const listed = [...source.matchAll(/^ {2}(get|post)\('([^']+)'/gm)].map(
      ([, method = '', path]) => `${method.toUpperCase()} ${path}`,
    )
    const loop = /for \(const path of \[([^\]]+)\]\) get/.exec(source)?.[1] ?? ''
    listed.push(...[...loop.matchAll(/'([^']+)'/g)].map(([, path]) => `GET ${path}`), 'GET /', 'GET /callback')
    expect(routes.map(({ route }) => route).sort()).toEqual(listed.sort())
  })

  test('have each field of a body or query', () => {
    const read = [...ROUTES_SOURCE.matchAll(/bodyField\((?:visit\.)?req, '(\w+)'\)|query\.(returnTo)\b/g)].map(
      ([, body, query]) => body ?? query,
    )
    const documented = new Set(routes.flatMap(({ fields }) => fields))
    expect([...documented].sort()).toEqual([...new Set([...read, 'grace'])].sort())
  })

  test('have each outcome, and no other', () => {
    const type = /export type OutcomeName =([\s\S]*?)\n\n/.exec(readFileSync(join(ROOT, 'src/routes/reply.ts'), 'utf8'))
    const names = [...(type?.[1] ?? '').matchAll(/'([\w-]+)'/g)].map(([, name]) => name)
    expect(tablesUnder('Outcomes').map(([name = '']) => name.replaceAll('`', ''))).toEqual(names)
    const known = [...names, ...pages.map(({ name }) => name)]
    const used = new Set(routes.flatMap(({ outcomes }) => outcomes))
    expect([...used].sort()).toEqual([...known].sort())
  })

  test('have each page with each of its fields, and no other', () => {
    const source = readFileSync(join(ROOT, 'src/contract/pages.ts'), 'utf8')
    const found = [...source.matchAll(/export interface \w+Page extends PageBase \{([\s\S]*?)\n\}/g)].map(
      ([, body = '']) => ({
        name: /readonly name: '([\w-]+)'/.exec(body)?.[1] ?? '',
        fields: [...body.matchAll(/^ {2}readonly (\w+):/gm)]
          .map(([, field = '']) => field)
          .filter((each) => each !== 'name'),
      }),
    )
    const sorted = (list: readonly { name: string; fields: string[] }[]) =>
      list.map(({ name, fields }) => `${name}: ${[...fields].sort().join(' ')}`).sort()
    expect(sorted(pages)).toEqual(sorted(found.filter(({ name }) => name !== 'error')))
  })

  test('have each error code, with its status', () => {
    for (const { code, status } of everywhere) expect([code, ERROR_STATUS[code]]).toEqual([code, status])
    const named = new Set([...codesIn(read('docs/json-api.md'))])
    expect(Object.keys(ERROR_STATUS).filter((code) => !named.has(code))).toEqual([])
    for (const { route, errors } of routes) for (const code of errors) expect(ERROR_STATUS, route).toHaveProperty(code)
  })

  test('name the codes that have `next`, and no other', () => {
    const list = /const WITH_NEXT[^[]*\[([^\]]*)\]/.exec(ROUTES_SOURCE)?.[1] ?? ''
    const inCode = [...list.matchAll(/'(\w+)'/g)].map(([, code]) => code)
    const text = read('docs/json-api.md')
    const documented = codesIn(text.slice(text.indexOf('These have `next`'))).filter(
      (each) => each in ERROR_STATUS && ['401', '403'].includes(String(ERROR_STATUS[each as ErrorCode])),
    )
    expect([...new Set(documented)].filter((code) => code !== 'reauthorization_required').sort()).toEqual(inCode.sort())
  })
})

describe('every route answers as its row says', () => {
  const allowed = (errors: readonly string[]) => [...errors, ...everywhere.map(({ code }) => code)]

  async function expectDocumented(browser: TestBrowser, { route, outcomes, errors }: (typeof routes)[number]) {
    const [method = '', path = ''] = route.split(' ')
    const url = `${app.url}${BASE}${path === '/' ? '' : path}`
    const body = JSON.stringify({ choice: 'link', code: 'x', address: 'x', id: 'x' })
    const answer = await (method === 'GET'
      ? browser.get(url, { headers: JSON_ONLY })
      : browser.post(url, {}, { body, headers: { ...JSON_ONLY, 'content-type': 'application/json' } }))
    const { outcome, error } = answer.json() as { outcome?: string; error: ErrorCode }
    // A page has an `error` of its own, null at first.
    if (outcome !== undefined) {
      expect([answer.status, outcomes]).toEqual([200, expect.arrayContaining([outcome])])
      return
    }
    expect(allowed(errors), route).toContain(error)
    expect(answer.status).toBe(ERROR_STATUS[error])
  }

  const local = () => app.accounts.add({ email: 'local@example.com', emailVerified: true })
  const STATES: readonly [string, (browser: TestBrowser) => Promise<unknown>][] = [
    ['to a visitor', async () => {}],
    ['to a signed-in user', (browser) => app.localSignIn(browser, local())],
    [
      'to a user with an open question',
      async (browser) => {
        await app.localSignIn(browser, local())
        await app.signIn(browser, 'bob')
      },
    ],
    ['to somebody who has to type an address', (browser) => app.signIn(browser, 'dave')],
  ]

  describe.each(STATES)('%s', (_state, prepare) => {
    test.each(routes)('$route', async (row) => {
      const browser = new TestBrowser()
      await prepare(browser)
      await expectDocumented(browser, row)
    })
  })
})
