import { setTimeout as wait } from 'node:timers/promises'
import { EmailTakenError, IdentityTakenError } from 'passport-bitbucket-signin'
import { describe, expect, test } from 'vitest'
import type { TestUser } from '../support/accounts'
import { TestBrowser } from '../support/browser'
import { app, browser, fake, open, openBrowser } from '../support/one-app'
import { choose, consented, enterCode, errorOf } from '../support/steps'

const identity = (person = 'alice') => ({ issuer: new URL(fake.url).origin, id: fake.person(person).uuid })

/** Runs something immediately before a write. */
function justBefore(hook: string, happens: () => unknown): void {
  let first = true
  app.accounts.intercept = (name) => {
    if (name !== hook || !first) return
    first = false
    const instead = happens()
    if (instead instanceof Error) throw instead
  }
}

const holder = (more: Partial<TestUser> = {}) =>
  app.accounts.add({ name: 'First', email: 'alice@example.com', emailVerified: true, ...more })

/** Signs Alice in up to the first write: directly, or by the code. */
const untilWrite = async (how: 'callback' | 'code') => {
  const answer = await app.signIn(browser, 'alice')
  return how === 'code' ? enterCode(app, browser) : answer
}

describe.each(['callback', 'code'] as const)('a race lost at createUser, by %s', (how) => {
  const start = () => open({ connection: { trustedProvider: how === 'callback' } })

  test('to the same identity signs in as its user, and writes nothing more', async () => {
    await start()
    let winner: TestUser | undefined
    justBefore('createUser', () => {
      winner = app.accounts.add({ name: 'Winner', identities: [identity()] })
    })
    const answer = await untilWrite(how)
    expect(answer.status).toBeLessThan(304)
    expect(await app.me(browser)).toBe(winner?.id)
    expect(app.accounts.writes()).toEqual(['createUser'])
    expect(app.accounts.users.size).toBe(1)
    expect(app.events.at(-1)).toMatchObject({ type: 'signed_in', userId: winner?.id })
  })

  test('to the same identity of a user who may not sign in is refused', async () => {
    await start()
    justBefore('createUser', () => app.accounts.add({ identities: [identity()], disabled: true }))
    expect(errorOf(await untilWrite(how))).toBe('account_disabled')
    expect(await app.me(browser)).toBeNull()
  })

  test.each([
    ['verified', 'account_exists'],
    ['unverified', 'account_exists'],
  ])('to the same address, %s, never falls back to the account that holds it', async (kind, code) => {
    await start()
    let winner: TestUser | undefined
    justBefore('createUser', () => {
      winner = holder({ emailVerified: kind === 'verified' })
    })
    const answer = await untilWrite(how)
    const second = how === 'code' && kind === 'verified'
    // By code the second look may ask for proof; by a trusted address it would link, which it may not.
    if (second) expect(answer.location).toBe('/auth/bitbucket/continue')
    else expect([answer.status, errorOf(answer)]).toEqual([409, code])
    expect(await app.me(browser)).toBeNull()
    expect(winner?.identities).toEqual([])
    expect(app.accounts.writes()).toEqual(['createUser'])
  })

  test('to an invisible winner is refused without a retry', async () => {
    await start()
    for (const error of [new EmailTakenError(), new IdentityTakenError()]) {
      openBrowser()
      justBefore('createUser', () => error)
      const answer = how === 'callback' ? await untilWrite(how) : null
      if (answer) expect(errorOf(answer)).toBe('account_exists')
    }
    expect(app.accounts.users.size).toBe(0)
  })

  test("to another copy's error is recognized by its name", async () => {
    await start()
    justBefore('createUser', () => {
      app.accounts.add({ identities: [identity()] })
      return Object.assign(new Error('duplicate key'), { name: 'IdentityTakenError' })
    })
    await untilWrite(how)
    expect(await app.me(browser)).toBe('u1')
  })
})

describe('a race lost elsewhere', () => {
  test('at linkIdentity signs in as the user of the identity, and leaves the matching account alone', async () => {
    await open()
    const match = holder()
    let winner: TestUser | undefined
    justBefore('linkIdentity', () => {
      winner = app.accounts.add({ identities: [identity()] })
    })
    await app.signIn(browser, 'alice')
    expect(await app.me(browser)).toBe(winner?.id)
    expect(match.identities).toEqual([])
    expect(app.accounts.writes()).toEqual(['linkIdentity'])
    expect(app.accounts.endedSessions).toEqual([])
  })

  test('at linkIdentity with the account still matching is refused without a second link', async () => {
    await open()
    const match = holder()
    justBefore('linkIdentity', () => new IdentityTakenError())
    expect(errorOf(await app.signIn(browser, 'alice'))).toBe('account_exists')
    expect(match.identities).toEqual([])
    expect(app.accounts.writes()).toEqual(['linkIdentity'])
  })

  test.each([IdentityTakenError, EmailTakenError])(
    'at claimAddress by %o is refused, and claims nothing',
    async (Taken) => {
      await open()
      const squatter = holder({ emailVerified: false })
      justBefore('claimAddress', () => new Taken())
      expect(errorOf(await app.signIn(browser, 'alice'))).toBe('account_exists')
      expect(squatter.password).toBe('secret')
      expect(app.accounts.writes()).toEqual(['claimAddress'])
      expect(await app.me(browser)).toBeNull()
    },
  )

  test('at the confirmation succeeds if the account itself won, and is refused otherwise', async () => {
    for (const own of [true, false]) {
      await open({ options: { policy: { matchingAccount: 'prove' } } })
      const owner = holder()
      const other = app.accounts.add()
      await app.signIn(browser, 'alice')
      await app.localSignIn(browser, owner)
      justBefore('linkIdentity', () => {
        const winner = own ? owner : other
        winner.identities.push(identity())
      })
      const answer = await choose(app, browser, 'confirm')
      expect([answer.status, errorOf(answer)]).toEqual(own ? [303, null] : [409, 'identity_linked_elsewhere'])
      expect(await app.me(browser)).toBe(owner.id)
      if (own) await app.close()
    }
  })

  test('does not exist for a hook that throws a taken error out of place', async () => {
    await open()
    justBefore('getAccountsByEmail', () => new EmailTakenError())
    const answer = await app.signIn(browser, 'alice')
    expect([answer.status, errorOf(answer)]).toEqual([500, 'hook_failed'])
    expect(await app.me(browser)).toBeNull()
    expect(app.faults).toEqual([])
  })
})

describe('twenty concurrent sign-ups', () => {
  /** Hooks that take as long as a database does, so that requests overlap. */
  const slowly = () => {
    app.accounts.intercept = async () => {
      await wait(Math.random() * 8)
    }
  }

  test('in two browsers each create one user each, signed in in both', async () => {
    await open()
    slowly()
    for (let n = 0; n < 20; n++) fake.addPerson({ key: `person${n}` })
    const pairs = await Promise.all(
      Array.from({ length: 20 }, async (_, n) => {
        const browsers = [new TestBrowser(), new TestBrowser()]
        const callbacks = await Promise.all(browsers.map((each) => consented(app, each, `person${n}`)))
        return { browsers, callbacks }
      }),
    )
    const answers = await Promise.all(
      pairs.flatMap(({ browsers, callbacks }) => browsers.map((each, n) => each.get(callbacks[n] ?? ''))),
    )
    expect(answers.map(({ status }) => status)).toEqual(Array(40).fill(302))
    expect(app.accounts.users.size).toBe(20)
    for (const { browsers } of pairs) {
      const [one, two] = await Promise.all(browsers.map((each) => app.me(each)))
      expect(one).not.toBeNull()
      expect(two).toBe(one)
    }
  })
})
