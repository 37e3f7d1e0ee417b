import assert from 'node:assert/strict'

/** A browser: cookies, no redirects followed automatically. */
export class Browser {
  #cookies = new Map()
  #origin

  constructor(origin) {
    this.#origin = origin
  }

  async visit(path, { form, headers } = {}) {
    const url = new URL(path, this.#origin)
    const answer = await fetch(url, {
      method: form ? 'POST' : 'GET',
      redirect: 'manual',
      body: form && new URLSearchParams(form),
      headers: {
        accept: 'text/html',
        cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; '),
        ...(form && { origin: this.#origin, 'sec-fetch-site': 'same-origin' }),
        ...headers,
      },
    })
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)
      this.#cookies.set(name, value)
    }
    return { status: answer.status, location: answer.headers.get('location') ?? '', text: await answer.text() }
  }

  /** Submits the form of a page that posts to `action`, with its hidden fields. */
  async submit(path, action, fields) {
    const { text } = await this.visit(path)
    const form = [...text.matchAll(/<form[^>]*action="([^"]*)"[^>]*>([\s\S]*?)<\/form>/g)].find(
      ([, to]) => to === action,
    )
    assert.ok(form, `${path} has no form that posts to ${action}:\n${text}`)
    const hidden = [...form[2].matchAll(/<input[^>]*type="hidden"[^>]*name="([^"]*)"[^>]*value="([^"]*)"/g)]
    return this.visit(action, { form: { ...Object.fromEntries(hidden.map(([, n, v]) => [n, v])), ...fields } })
  }
}

/**
 * What users do once the app offers Bitbucket: a first sign-up with an untrusted address, which a code proves; a sign-in;
 * a link to an account with a password, from the sign-in page and from the account page. `app` says how its own pages
 * work; `codes` finds the emailed codes.
 */
export async function journey({ app, fake, codes, onFirstSignIn = () => {} }) {
  const { origin, mount = '/auth/bitbucket', whoAmI, signUp, signIn, signOut } = app
  const withBitbucket = async (browser, person) => {
    const { location } = await browser.visit(mount)
    const callback = await fake.signIn(location, { person })
    return browser.visit(callback, { headers: { 'sec-fetch-site': 'cross-site' } })
  }
  const enterCode = (browser, code) => browser.submit(`${mount}/email`, `${mount}/email/verify`, { code })
  const nobody = async (browser) => assert.equal(await whoAmI(browser), null)

  // An address that Bitbucket has not confirmed, and nobody here has: it is proven by a code.
  const bob = new Browser(origin)
  await withBitbucket(bob, 'bob')
  await nobody(bob)
  assert.equal((await enterCode(bob, 'BBBB-BBBB')).status, 400)
  await nobody(bob)
  await enterCode(bob, codes.latest('bob@example.com'))
  const bobsId = await whoAmI(bob)
  assert.ok(bobsId, 'a first sign-in with Bitbucket signs up')
  onFirstSignIn()

  // A known user needs no code.
  await signOut(bob)
  await nobody(bob)
  await withBitbucket(bob, 'bob')
  assert.equal(await whoAmI(bob), bobsId)

  // The address of an account with a password opens nothing by itself: its owner confirms, then both ways lead to it.
  const alice = new Browser(origin)
  const password = { email: 'alice@example.com', password: 'correct horse battery' }
  await signUp(alice, password)
  const alicesId = await whoAmI(alice)
  assert.ok(alicesId, 'the sign-up of the app works as before')
  await signOut(alice)
  await withBitbucket(alice, 'alice')
  await nobody(alice)
  await enterCode(alice, codes.latest(password.email))
  // An app that verifies addresses takes the code as proof; others ask for their own sign-in, and then once more.
  if ((await whoAmI(alice)) === null) {
    await signIn(alice, password)
    await alice.submit(`${mount}/continue`, `${mount}/continue`, { choice: 'confirm' })
  }
  await signOut(alice)
  await withBitbucket(alice, 'alice')
  assert.equal(await whoAmI(alice), alicesId, 'Bitbucket signs in to the account with the password')

  // From the account page.
  const carol = new Browser(origin)
  await signUp(carol, { email: 'someone.else@example.com', password: 'correct horse battery' })
  const carolsId = await whoAmI(carol)
  const { location } = await carol.submit(`${mount}/link`, `${mount}/link`, {})
  await carol.visit(await fake.signIn(location, { person: 'carol' }), { headers: { 'sec-fetch-site': 'cross-site' } })
  await signOut(carol)
  await withBitbucket(carol, 'carol')
  assert.equal(await whoAmI(carol), carolsId, 'a link from the account page signs in to the same account')
}
