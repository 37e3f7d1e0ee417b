import { connect } from 'node:net'
import { expect, test, vi } from 'vitest'
import { door, type Lab, startLab, testLimiter, until } from '../attacks/lab'
import { type Answer, TestBrowser } from '../support/browser'

/** A flow that touches accounts, from a browser in front of its last step to its answer. */
interface Flow {
  readonly options?: Parameters<typeof startLab>[0]
  /** Prepares; gives the last step. */
  prepare(lab: Lab, browser: TestBrowser): Promise<() => Promise<Answer>>
}

const FLOWS: Readonly<Record<string, Flow>> = {
  'sign up': { prepare: async (lab, browser) => fetchOf(browser, await lab.callback(browser, 'alice')) },
  'sign in': {
    async prepare(lab, browser) {
      await lab.signIn(new TestBrowser(), 'alice')
      lab.fake.updatePerson('alice', { displayName: 'Renamed' })
      return fetchOf(browser, await lab.callback(browser, 'alice'))
    },
  },
  'link by address': {
    async prepare(lab, browser) {
      lab.accounts.add({ email: 'alice@example.com', emailVerified: true })
      return fetchOf(browser, await lab.callback(browser, 'alice'))
    },
  },
  claim: {
    async prepare(lab, browser) {
      lab.accounts.add({ email: 'alice@example.com', emailVerified: false })
      return fetchOf(browser, await lab.callback(browser, 'alice'))
    },
  },
  code: {
    options: { connection: { trustedProvider: false } },
    async prepare(lab, browser) {
      const { code } = await lab.pendingCode(browser, 'alice')
      const { text } = await lab.get(browser, '/email')
      const pending = /name="pending" value="([^"]+)"/.exec(text)?.[1] ?? ''
      return () => lab.post(browser, '/email/verify', { pending, code })
    },
  },
  link: {
    async prepare(lab, browser) {
      await lab.member(browser)
      return fetchOf(browser, await lab.fake.signIn(await lab.link(browser), { person: 'alice' }))
    },
  },
  unlink: {
    async prepare(lab, browser) {
      const user = await lab.member(browser)
      await browser.get(await lab.fake.signIn(await lab.link(browser), { person: 'alice' }))
      return () => lab.post(browser, '/unlink', { id: user.identities[0]?.id ?? '' })
    },
  },
}

function fetchOf(browser: TestBrowser, url: string): () => Promise<Answer> {
  return () => browser.get(url)
}

const HOOKS = [
  'getUserByIdentity',
  'getAccountsByEmail',
  'createUser',
  'linkIdentity',
  'claimAddress',
  'unlinkIdentity',
  'listIdentities',
  'describeUser',
  'storeTokens',
  'updateProfile',
  'canSignIn',
  'endOtherSessions',
] as const

const MARK = 'words of the database'

/** Users, and how often each identity is stored: the test accounts are whole, or a flow has broken them. */
function expectWhole(lab: Lab): void {
  const identities = [...lab.accounts.users.values()].flatMap((user) => user.identities.map(({ id }) => id))
  expect(new Set(identities).size).toBe(identities.length)
}

for (const [name, flow] of Object.entries(FLOWS)) {
  test.each(HOOKS)(`${name}: %s throws, rejects or answers nonsense`, async (hook) => {
    for (const how of ['throws', 'rejects', 'nonsense'] as const) {
      const lab = await startLab({ ...flow.options })
      const browser = new TestBrowser()
      const step = await flow.prepare(lab, browser)
      const before = { me: await lab.me(browser), calls: lab.accounts.calls.length, users: lab.accounts.users.size }
      lab.accounts.intercept = (called) => {
        if (called !== hook) return undefined
        if (how === 'throws') throw new Error(MARK)
        return how === 'rejects' ? Promise.reject(new Error(MARK)) : 42
      }
      const answer = await step()
      const called = lab.accounts.calls.slice(before.calls).some((call) => call.name === hook)
      // What these return is not looked at; only that they ended.
      const ignored =
        ['linkIdentity', 'storeTokens', 'updateProfile', 'endOtherSessions'].includes(hook) && how === 'nonsense'
      if (called && !ignored) {
        expect([how, answer.status >= 400]).toEqual([how, true])
        expect(answer.text).not.toContain(MARK)
        // Whoever was signed in still is, and nobody else.
        if (before.me === null) expect(await lab.me(browser)).toBeNull()
      } else {
        expect(answer.status).toBeLessThan(400)
      }
      expectWhole(lab)
      expect(lab.faults).toEqual([])
      lab.accounts.intercept = () => {}
      expect((await lab.signIn(new TestBrowser(), 'carol')).status).toBe(302)
    }
  })
}

test.each(HOOKS.filter((hook) => hook !== 'unlinkIdentity' && hook !== 'describeUser'))(
  'a hook that never settles ends the request: %s',
  async (hook) => {
    for (const [name, flow] of Object.entries(FLOWS)) {
      if (name === 'unlink' || name === 'link') continue
      const lab = await startLab({ ...flow.options })
      const browser = new TestBrowser()
      const step = await flow.prepare(lab, browser)
      let hanging = false
      lab.accounts.intercept = (called) => {
        if (called !== hook) return undefined
        hanging = true
        return new Promise(() => {})
      }
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      let answered = false
      const answer = step().finally(() => {
        answered = true
      })
      while (!hanging && !answered) await new Promise((resolve) => setImmediate(resolve))
      if (hanging) await vi.advanceTimersByTimeAsync(15_001)
      const { status } = await answer
      vi.useRealTimers()
      if (hanging) {
        expect([name, status]).toEqual([name, 500])
        expect(await lab.me(browser)).toBeNull()
      }
      expectWhole(lab)
    }
  },
)

test.each(['consume', 'get'] as const)('a limiter whose %s fails, hangs or answers nonsense', async (call) => {
  for (const how of ['throws', 'hangs', 'nonsense'] as const) {
    for (const [name, flow] of Object.entries(FLOWS)) {
      const limiter = testLimiter()
      const lab = await startLab({ ...flow.options, options: { limiter: limiter.factory } })
      const browser = new TestBrowser()
      const step = await flow.prepare(lab, browser)
      const me = await lab.me(browser)
      const writes = lab.accounts.writes().length
      const upstream = lab.upstream()
      let reached = false
      limiter.intercept = (called) => {
        if (called !== call) return undefined
        reached = true
        if (how === 'throws') throw new Error(MARK)
        if (how === 'nonsense') throw new TypeError('no such function')
        return new Promise(() => {})
      }
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      let answered = false
      const answer = step().finally(() => {
        answered = true
      })
      while (!reached && !answered) await new Promise((resolve) => setImmediate(resolve))
      if (how === 'hangs') await vi.advanceTimersByTimeAsync(5001)
      const { status, text } = await answer
      vi.useRealTimers()
      if (!reached) continue
      expect([name, how, status]).toEqual([name, how, 503])
      expect(text).not.toContain(MARK)
      expect(await lab.me(browser)).toBe(me)
      expect(lab.accounts.writes()).toHaveLength(writes)
      expect(lab.upstream()).toBe(upstream)
    }
  }
})

test.each(['set', 'destroy', 'get'] as const)('a session store whose %s fails', async (call) => {
  for (const [name, flow] of Object.entries(FLOWS)) {
    const lab = await startLab({ ...flow.options, session: { saveUninitialized: true } })
    const browser = new TestBrowser()
    const step = await flow.prepare(lab, browser)
    const before = lab.signedIn()
    const store = lab.store as unknown as Record<string, (...args: unknown[]) => void>
    const original = store[call]
    store[call] = (...args) => (args.at(-1) as ((error: Error) => void) | undefined)?.(new Error(MARK))
    const answer = await step()
    store[call] = original as (...args: unknown[]) => void
    // Without a session cookie, a store that cannot read is never asked.
    if (answer.status < 400) expect([name, call]).toEqual([name, 'get'])
    else expect(await lab.me(browser)).toBe(call === 'get' || before.length > 0 ? await lab.me(browser) : null)
    expect(answer.text).not.toContain(MARK)
    expect(lab.signedIn().length).toBeLessThanOrEqual(before.length + (answer.status < 400 ? 1 : 0))
    expectWhole(lab)
  }
})

test('a session store that never answers holds the answer back, and signs nobody in', async () => {
  const lab = await startLab()
  const browser = new TestBrowser()
  const url = new URL(await lab.callback(browser, 'alice'))
  let asked = false
  const { set } = lab.store
  lab.store.set = () => {
    asked = true
  }
  const cookie = [...browser.jar(lab.url)].map(([key, value]) => `${key}=${value}`).join('; ')
  const socket = connect(Number(url.port), '127.0.0.1')
  let received = ''
  socket.on('data', (data) => {
    received += data
  })
  socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nCookie: ${cookie}\r\n\r\n`)
  await until(() => asked)
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(received).toBe('')
  socket.destroy()
  lab.store.set = set
  expect(lab.signedIn()).toEqual([])
})

test('a mailer that fails in every way leaves nothing but a page that says so', async () => {
  for (const sendEmailCode of [
    () => {
      throw new Error(MARK)
    },
    () => Promise.reject(new Error(MARK)),
    () => Promise.reject(undefined),
    () => false,
    () => Promise.resolve(false),
  ]) {
    const lab = await startLab({
      connection: { trustedProvider: false },
      options: { sendEmailCode, onError: () => {} },
    })
    const browser = new TestBrowser()
    expect((await lab.signIn(browser, 'alice')).location).toBe('/auth/bitbucket/email')
    const page = await lab.get(browser, '/email')
    expect([page.status, page.text.includes(MARK)]).toEqual([200, false])
    expect(lab.accounts.users.size).toBe(0)
    expect(lab.signedIn()).toEqual([])
  }
})

test.each(['getUserByIdentity', 'createUser', 'storeTokens'])('the browser leaves while %s works', async (hook) => {
  const lab = await startLab()
  const browser = new TestBrowser()
  const url = new URL(await lab.callback(browser, 'alice'))
  const gate = door()
  let inside = false
  let done = false
  lab.accounts.intercept = async (name) => {
    if (name !== hook) return
    inside = true
    await gate.opened
    done = true
  }
  const cookie = [...browser.jar(lab.url)].map(([key, value]) => `${key}=${value}`).join('; ')
  const socket = connect(Number(url.port), '127.0.0.1')
  socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nCookie: ${cookie}\r\n\r\n`)
  await until(() => inside)
  socket.destroy()
  gate.open()
  await until(() => done)
  await new Promise((resolve) => setTimeout(resolve, 30))
  expectWhole(lab)
  expect(lab.faults).toEqual([])
  expect(await lab.me(browser)).toBeNull()
  lab.accounts.intercept = () => {}
  const again = new TestBrowser()
  await lab.signIn(again, 'alice')
  expect(await lab.me(again)).toBe('u1')
  expect(lab.accounts.users.size).toBe(1)
})
