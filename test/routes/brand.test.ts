import { createHash } from 'node:crypto'
import type { BitbucketSignInOptions } from 'passport-bitbucket-signin'
import { type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import { startTestApp, type TestApp } from '../support/app'
import { TestBrowser } from '../support/browser'

let fake: FakeBitbucket
let app: TestApp | undefined
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
afterEach(async () => {
  fake.reset()
  await app?.close()
  app = undefined
})

type BrandOption = BitbucketSignInOptions<TestUser>['brand'] & {}

/** A refusal page of a running app. */
async function refusalPage(brand: BrandOption, express: 4 | 5 = 5) {
  app = await startTestApp({ fake, express, options: { brand } })
  const answer = await new TestBrowser().get(`${app.url}/auth/bitbucket/callback?state=x&code=y`)
  expect(answer.status).toBe(403)
  return answer
}

describe('renderPage and sendEmailCode', () => {
  test.each([4, 5] as const)(
    'get the request, and renderPage the built-in page to add to (Express %i)',
    async (express) => {
      const languages: unknown[] = []
      app = await startTestApp({
        fake,
        express,
        connection: { trustedProvider: false },
        options: {
          sendEmailCode: (_message, { headers }) => void languages.push(headers['accept-language']),
          renderPage: (name, page, { req, builtIn }) =>
            name === 'email-code'
              ? builtIn().replace('</main>', () => `<p>${req.headers['accept-language']} ${page.name}</p></main>`)
              : undefined,
        },
      })
      const browser = new TestBrowser()
      const headers = { 'accept-language': 'de' }
      const { location } = await browser.get(`${app.url}/auth/bitbucket`)
      await browser.get(await fake.signIn(location, { person: 'alice' }), { headers })
      const { text } = await browser.get(`${app.url}/auth/bitbucket/email`, { headers })
      expect(languages).toEqual(['de'])
      expect(text).toContain('<p>de email-code</p></main>')
      expect(text).toContain('action="/auth/bitbucket/email/verify"')
    },
  )
})

describe('brand', () => {
  test.each([4, 5] as const)(
    'names the app on our pages, with its style allowed by hash (Express %i)',
    async (express) => {
      const { text, headers } = await refusalPage({ name: 'Acme', logo: '/acme.svg', accent: '#00875a' }, express)
      expect(text).toContain('<bdi>Acme</bdi>')
      const policy = String(headers['content-security-policy'])
      const sheets = [...text.matchAll(/<style>([\s\S]*?)<\/style>/g)].map(([, css]) => css as string)
      expect(sheets).toHaveLength(2)
      for (const css of sheets) expect(policy).toContain(createHash('sha256').update(css).digest('base64'))
      expect(policy).not.toContain('unsafe-inline')
      expect(policy).toContain("img-src 'self'")
    },
  )

  test('follows the request, and shows none for null', async () => {
    const brand = (req: { headers: { host?: string } }) =>
      req.headers.host?.startsWith('127.') ? { name: 'Tenant 127' } : null
    expect((await refusalPage(brand)).text).toContain('Tenant 127')
    const other = await new TestBrowser().get(`${app?.url}/auth/bitbucket/callback?state=x`, {
      headers: { host: 'localhost' },
    })
    expect(other.text).not.toContain('Tenant')
  })

  test.each<[string, BrandOption]>([
    [
      'throws',
      () => {
        throw new Error('tenant table is down')
      },
    ],
    ['returns a promise', (async () => ({ name: 'Acme' })) as never],
    ['returns a foreign logo', () => ({ name: 'Acme', logo: 'https://evil.example/a.png' })],
    ['returns markup as a colour', () => ({ name: 'Acme', accent: '#000</style><script>alert(1)</script>' })],
    ['returns a name that turns the page around', () => ({ name: '\u202eemcA' })],
  ])('is left out and reported if it %s', async (_what, brand) => {
    const { text } = await refusalPage(brand)
    expect(text).toContain('class="mark"')
    expect(text).not.toMatch(/evil|<script|emcA/)
    expect(app?.errors.map(({ code, message }) => [code, message])).toContainEqual([
      'configuration_invalid',
      expect.stringContaining('brand'),
    ])
  })

  test('is refused at construction if it is invalid', async () => {
    const start = startTestApp({ fake, options: { brand: { name: 'Acme', logo: 'https://cdn.example/logo.png' } } })
    await expect(start).rejects.toMatchObject({
      code: 'configuration_invalid',
      message: expect.stringContaining('brand.logo'),
    })
  })
})
