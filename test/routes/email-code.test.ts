import type { EmailCodeMessage } from 'passport-bitbucket-signin'
import type { FakeBitbucket } from 'passport-bitbucket-signin/testing'
import { describe, expect, test } from 'vitest'
import type { TestAppOptions } from '../support/app'
import { type Answer, TestBrowser } from '../support/browser'
import { travel } from '../support/clock'
import { app, browser, fake, open as startApp } from '../support/one-app'
import { askForCode, enterCode, errorOf, giveAddress, handleOf, otherCode } from '../support/steps'

const BASE = '/auth/bitbucket'
const MINUTE = 60_000
const ACME = '{470c176d-3574-44ea-bb41-89e8638bcca4}'
const GLOBEX = '{580c176d-3574-44ea-bb41-89e8638bcca4}'
const WAIT = /You can ask for a new code in <bdi>\d\d<\/bdi> seconds/

/** An app that does not trust Bitbucket, and Alice on the code page with her code in the mailbox. */
async function open(options: TestAppOptions = {}, person = 'alice'): Promise<void> {
  await startApp({ connection: { trustedProvider: false }, ...options })
  await app.signIn(browser, person)
}

const code = (index = -1) => app.mails.at(index)?.code ?? ''
const page = (from = browser) => from.get(`${app.url}${BASE}/email`)

/** Posts a code with the handle of this page, without loading the page again. */
function post(from: TestBrowser, handle: string, value: string, headers = {}): Promise<Answer> {
  return from.post(`${app.url}${BASE}/email/verify`, { pending: handle, code: value }, { headers })
}

const TEXT = {
  code_wrong: 'This code is not correct',
  code_expired: 'This code is no longer valid',
  code_exhausted: 'Too many wrong codes',
  too_many_codes: 'It is too early for another code',
  code_not_sent: 'Sending the email is slow or failed',
} as const

async function expectError(answer: Answer, error: keyof typeof TEXT, status: number): Promise<void> {
  expect([answer.status, answer.text.includes(TEXT[error])]).toEqual([status, true])
  expect(await app.me(browser)).toBeNull()
  expect(app.accounts.writes()).toEqual([])
}

async function expectSignedIn(answer: Answer, by = browser): Promise<void> {
  expect(answer.status).toBe(303)
  expect(await app.me(by)).not.toBeNull()
}

describe.each([4, 5] as const)('the code page on Express %i', (express) => {
  test('mails code, expiry, purpose and a masked identity, and no link', async () => {
    await open({ express })
    const [mail] = app.mails
    expect(mail).toMatchObject({ to: 'alice@example.com', purpose: 'verify-address', maskedIdentity: 'al***' })
    expect(mail?.code).toMatch(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/)
    expect(mail?.expiresAt.getTime()).toBeGreaterThan(Date.now() + 9 * MINUTE)
    expect(JSON.stringify({ ...mail, context: undefined })).not.toContain('http')
    const { text } = await page()
    expect(text).toContain('a***@example.com')
    expect(text).not.toContain('alice@example.com')
  })

  test('signs up with the right code, in any case and with or without hyphen and spaces', async () => {
    for (const write of [
      (right: string) => right,
      (right: string) => right.toLowerCase(),
      (right: string) => right.replace('-', ''),
      (right: string) => ` ${right.replace('-', ' - ')} `,
    ]) {
      await open({ express })
      await expectSignedIn(await enterCode(app, browser, write(code())))
      await app.close()
    }
    await open({ express })
  })

  test('rejects a wrong code, counts the attempt and shows the form again', async () => {
    await open({ express })
    const answer = await enterCode(app, browser, otherCode(code()))
    await expectError(answer, 'code_wrong', 400)
    expect(handleOf(answer.text)).not.toBe('')
    expect(app.events.at(-1)).toMatchObject({ type: 'code_failed', code: 'code_wrong' })
    await expectSignedIn(await enterCode(app, browser))
  })

  test('redirects from the URL of a refused form back to the page, at no attempt', async () => {
    await open({ express })
    await enterCode(app, browser, otherCode(code()))
    for (let n = 0; n < 6; n++)
      for (const form of ['address', 'code', 'verify']) {
        const answer = await browser.get(`${app.url}${BASE}/email/${form}`)
        expect([answer.status, answer.location]).toEqual([302, `${BASE}/email`])
      }
    expect(app.mails).toHaveLength(1)
    await expectSignedIn(await enterCode(app, browser))
  })
})

describe('a pending sign-in', () => {
  test('ends after thirty minutes with a page that says so', async () => {
    await open()
    travel(30 * MINUTE + 1000)
    const answer = await page()
    expect([answer.status, errorOf(answer)]).toEqual([404, 'pending_missing'])
    expect(answer.text).toContain('href="/auth/bitbucket"')
  })
})

describe('another code', () => {
  test('is not mailed within sixty seconds; the page says how long, and the first one still works', async () => {
    await open()
    expect((await page()).text).toMatch(WAIT)
    const refused = await askForCode(app, browser)
    await expectError(refused, 'too_many_codes', 429)
    // As the answer to a double click it may come after that of the first, and must not undo its cookie.
    expect(refused.setCookies).toEqual([])
    expect(app.mails).toHaveLength(1)
    await expectSignedIn(await enterCode(app, browser))
  })

  test('is mailed once for concurrent requests, and works', async () => {
    await open()
    travel(MINUTE + 1000)
    const handle = handleOf((await page()).text)
    const ask = () => browser.post(`${app.url}${BASE}/email/code`, { pending: handle })
    const answers = await Promise.all([ask(), ask(), ask()])
    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1)
    expect(app.mails).toHaveLength(2)
    await expectSignedIn(await enterCode(app, browser))
  })

  test('is not mailed after another sign-in while one is valid, which takes the newer return URL', async () => {
    await open()
    const answer = await app.signIn(browser, 'alice', { returnTo: '/newer' })
    expect(answer.location).toBe(`${BASE}/email`)
    expect(app.mails).toHaveLength(1)
    const verified = await enterCode(app, browser)
    await expectSignedIn(verified)
    expect(verified.location).toContain(encodeURIComponent('/newer'))
  })

  test('is not needed after another sign-in, whose memberships, name and picture reach the hooks', async () => {
    const acme = (permission: 'owner' | 'member') => ({ slug: 'acme', permission, uuid: ACME }) as const
    const returning = async (later: Parameters<FakeBitbucket['updatePerson']>[1]) => {
      await startApp({ connection: { trustedProvider: false, workspaces: ['acme', 'globex'] } })
      fake.updatePerson('alice', { displayName: 'Alice', workspaces: [acme('owner')] })
      await app.signIn(browser, 'alice')
      fake.updatePerson('alice', later)
      await app.signIn(browser, 'alice')
      expect(app.mails).toHaveLength(1)
      await expectSignedIn(await enterCode(app, browser))
      const created = app.accounts.calls.find(({ name }) => name === 'createUser')?.input as {
        context: { workspaces: object[] }
        profile: { displayName: string }
      }
      return { workspaces: created.context.workspaces, name: created.profile.displayName }
    }
    const globex = { slug: 'globex', permission: 'member', uuid: GLOBEX } as const
    expect(await returning({})).toEqual({ workspaces: [acme('owner')], name: 'Alice' })
    await app.close()
    expect(await returning({ displayName: 'Alicia', workspaces: [acme('member'), globex] })).toEqual({
      workspaces: [acme('member'), globex],
      name: 'Alicia',
    })
    await app.close()
    expect((await returning({ workspaces: [globex] })).workspaces).toEqual([globex])
  })

  test('can be requested after a cancelled sign-in once the wait on the page is over', async () => {
    await open()
    await app.submit(browser, `${BASE}/email`, '/cancel')
    await app.signIn(browser, 'alice')
    expect(app.mails).toHaveLength(1)
    expect((await page()).text).toMatch(WAIT)
    await expectError(await askForCode(app, browser), 'too_many_codes', 429)
    await expectError(await enterCode(app, browser), 'code_expired', 400)
    travel(MINUTE + 1000)
    expect((await page()).text).not.toMatch(WAIT)
    await askForCode(app, browser)
    await expectSignedIn(await enterCode(app, browser))
  })

  test('is needed after too many wrong ones, also after another sign-in', async () => {
    await open()
    for (let n = 0; n < 5; n++) await enterCode(app, browser, otherCode(code()))
    await app.signIn(browser, 'alice')
    await expectError(await enterCode(app, browser), 'code_exhausted', 429)
  })
})

describe('a typed address', () => {
  test('stays in its field when it is invalid', async () => {
    await startApp()
    await app.signIn(browser, 'dave')
    const answer = await giveAddress(app, browser, 'dave@example')
    expect(answer.status).toBe(400)
    expect(answer.text).toContain('value="dave@example"')
    expect((await giveAddress(app, browser, 'dave"@example')).text).not.toContain('dave')
    expect(app.mails).toEqual([])
    expect((await page()).text).not.toContain('dave@')
  })
})

describe('an old copy of the browser', () => {
  test.each(['completed', 'cancelled'])('is useless once the sign-in was %s', async (how) => {
    await open()
    const past = browser.copy()
    const handle = handleOf((await page()).text)
    if (how === 'completed') await enterCode(app, browser)
    else await app.submit(browser, `${BASE}/email`, '/cancel')
    expect(errorOf(await post(past, handle, code()))).toBe('pending_replaced')
    expect(await app.me(past)).toBeNull()
  })
})

describe('limits', () => {
  /** A person who shows this address at Bitbucket, confirmed or not. */
  const stranger = (key: string, address: string, confirmed = false) =>
    fake.addPerson({ key, emails: [{ address, primary: true, confirmed }] })

  test('allow an identity ten mails an hour, and keep accepting a code already sent', async () => {
    await open()
    // The address is confirmed, so 5 an hour for it is the nearer cap; other addresses of the same identity go on.
    for (let n = 0; n < 9; n++) {
      travel(MINUTE + 1000)
      fake.updatePerson('alice', { emails: [{ address: `alice${n % 3}@example.com`, primary: true }] })
      await app.signIn(browser, 'alice')
    }
    expect(app.mails).toHaveLength(10)
    travel(MINUTE + 1000)
    fake.updatePerson('alice', { emails: [{ address: 'alice9@example.com', primary: true }] })
    const last = browser.copy()
    await app.signIn(browser, 'alice')
    expect(app.mails).toHaveLength(10)
    expect((await page()).text).toContain('Too many codes have been requested recently')
    await expectError(await askForCode(app, browser), 'too_many_codes', 429)
    expect(app.events.filter(({ code }) => code === 'too_many_codes')).not.toHaveLength(0)
    expect((await enterCode(app, last)).status).toBe(303)
  })

  test('count a typed address as unconfirmed', async () => {
    await open()
    for (let n = 0; n < 7; n++) {
      fake.addPerson({ key: `typist${n}`, emails: [] })
      const typist = new TestBrowser()
      await app.signIn(typist, `typist${n}`)
      await giveAddress(app, typist, n % 2 ? 'victim@example.com' : 'VICTIM@example.com')
    }
    expect(app.mails.filter(({ to }) => to.toLowerCase() === 'victim@example.com')).toHaveLength(5)
  })

  test('let the owner of an address in while a stranger tries wrong codes', async () => {
    await open({}, 'carol')
    stranger('guesser', 'alice@example.com')
    const guesser = new TestBrowser()
    await app.signIn(guesser, 'guesser')
    for (let n = 0; n < 8; n++) await enterCode(app, guesser, otherCode(code()))
    const owner = new TestBrowser()
    await app.signIn(owner, 'alice')
    expect((await enterCode(app, owner)).status).toBe(303)
  })
})

describe('a mailer that fails', () => {
  test.each([
    [
      'throws',
      () => {
        throw new Error('smtp down')
      },
    ],
    ['rejects', () => Promise.reject(new Error('smtp down'))],
    ['says false', () => false],
  ])(
    'case 12: that %s causes a page that says so, and its code works, and another may be requested',
    async (what, fail) => {
      let works = false
      const sent: string[] = []
      const sendEmailCode = (mail: EmailCodeMessage) => {
        sent.push(mail.code)
        return works ? undefined : fail()
      }
      await open({ options: { sendEmailCode } })
      const shown = await page()
      expect(shown.status).toBe(200)
      expect(shown.text).toContain('it is slow or failed')
      expect(shown.text).toMatch(WAIT)
      expect(app.events.at(-1)).toMatchObject({ type: 'code_failed', code: 'code_not_sent' })
      expect(app.errors.map(({ code }) => code)).toEqual(what === 'says false' ? [] : ['code_not_sent'])
      expect(await app.me(browser)).toBeNull()
      const early = browser.copy()
      await expectSignedIn(await enterCode(app, early, sent[0]), early)
      await open({ options: { sendEmailCode } })
      works = true
      travel(MINUTE + 1000)
      expect((await askForCode(app, browser)).status).toBe(303)
      await expectSignedIn(await enterCode(app, browser, sent.at(-1)))
    },
  )

  test('fails at the second mail: ends the first code, and the second works if it arrives', async () => {
    const codes: string[] = []
    await open({ options: { sendEmailCode: ({ code }) => codes.push(code) < 2 } })
    travel(MINUTE + 1000)
    await expectError(await askForCode(app, browser), 'code_not_sent', 503)
    await expectError(await enterCode(app, browser, codes[0]), 'code_wrong', 400)
    await expectSignedIn(await enterCode(app, browser, codes[1]))
  })
})

test('a sign-in that starts again keeps no code that would end with its pending sign-in', async () => {
  await open()
  travel(24 * MINUTE)
  await app.submit(browser, `${BASE}/email`, '/email/code')
  travel(5.5 * MINUTE)
  await app.signIn(browser, 'alice')
  expect(app.mails).toHaveLength(3)
  travel(1.5 * MINUTE)
  await expectSignedIn(await enterCode(app, browser))
})

describe('cancel and Back', () => {
  test('drop the pending sign-in and lead to the sign-in page, and Back shows a link to start again', async () => {
    await open()
    const handle = handleOf((await page()).text)
    const answer = await app.submit(browser, `${BASE}/email`, '/cancel')
    expect([answer.status, answer.location]).toEqual([303, '/login'])
    expect(browser.jar(app.url).has('bitbucket.p')).toBe(false)
    for (const back of [await page(), await post(browser, handle, code())]) {
      expect([back.status, errorOf(back)]).toEqual([404, 'pending_missing'])
      expect(back.text).toContain('href="/auth/bitbucket"')
    }
    expect((await app.submit(await started(), `${BASE}/email`, '/cancel')).status).toBe(303)
  })

  test.each(['cancelled', 'signed in again'])(
    'clear the cookie of a finished sign-in whose response was lost: %s',
    async (how) => {
      await open()
      const lost = browser.copy()
      await expectSignedIn(await enterCode(app, browser))
      expect(lost.jar(app.url).has('bitbucket.p')).toBe(true)
      if (how === 'cancelled') await app.submit(lost, `${BASE}/email`, '/cancel')
      else await app.signIn(lost, 'alice')
      expect(lost.jar(app.url).has('bitbucket.p')).toBe(false)
    },
  )

  test('leave the newer sign-in of another tab alone', async () => {
    await open()
    const older = handleOf((await page()).text)
    await app.signIn(browser, 'carol')
    const answer = await browser.post(`${app.url}${BASE}/cancel`, { pending: older })
    expect(answer.status).toBe(303)
    await expectSignedIn(await enterCode(app, browser))
  })

  test('without a pending sign-in cause no error', async () => {
    await open()
    const answer = await new TestBrowser().post(`${app.url}${BASE}/cancel`, {})
    expect([answer.status, answer.location]).toEqual([303, '/login'])
  })

  test('Back after the right code leads home, and the form again signs no other user in', async () => {
    await open()
    const handle = handleOf((await page()).text)
    await expectSignedIn(await enterCode(app, browser))
    const me = await app.me(browser)
    expect((await page()).location).toBe('/')
    expect(errorOf(await post(browser, handle, code()))).toBe('pending_missing')
    expect(await app.me(browser)).toBe(me)
  })

  const started = async () => {
    const other = new TestBrowser()
    await app.signIn(other, 'carol')
    return other
  }
})
