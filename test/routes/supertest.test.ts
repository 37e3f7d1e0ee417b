import request = require('supertest')

import { afterEach, describe, expect, test } from 'vitest'
import { startTestApp, type TestApp } from '../support/app'
import { formsOf } from '../support/browser'

let app: TestApp
afterEach(() => app?.close())

// The same flow with the client that most users of Express test with, which keeps cookies and headers its own way.
describe.each([4, 5] as const)('with supertest on Express %i', (express) => {
  test('a user signs in, is known by their uuid, and signs out', async () => {
    app = await startTestApp({ express })
    const agent = request.agent(app.server)
    const start = await agent.get('/auth/bitbucket').query({ returnTo: '/notes' }).expect(302)
    const callback = new URL(await app.fake.signIn(start.headers.location ?? '', { person: 'alice' }))
    await agent.get(`${callback.pathname}${callback.search}`).expect(302).expect('Location', '/notes')
    await agent.get('/me').expect(200, { user: 'u1' })
    expect(app.accounts.users.get('u1')?.identities[0]?.id).toBe(app.fake.person('alice').uuid)
    await agent.post('/logout').expect(302)
    await agent.get('/me').expect(200, { user: null })
  })

  test('an asserted address is proven by the mailed code', async () => {
    app = await startTestApp({ express, connection: { trustedProvider: false } })
    const agent = request.agent(app.server)
    const start = await agent.get('/auth/bitbucket').expect(302)
    const callback = new URL(await app.fake.signIn(start.headers.location ?? '', { person: 'bob' }))
    await agent.get(`${callback.pathname}${callback.search}`).expect(302).expect('Location', '/auth/bitbucket/email')
    const page = await agent.get('/auth/bitbucket/email').set('Accept', 'text/html').expect(200)
    const form = formsOf(page.text).find(({ action }) => action.endsWith('/verify'))
    const code = app.mails[0]?.code ?? ''
    // A client that is not a browser names its origin itself.
    await agent
      .post(form?.action ?? '')
      .set('Origin', app.url)
      .type('form')
      .send({ ...form?.fields, code })
      .expect(303)
    await agent.get('/me').expect(200, { user: 'u1' })
  })

  test('a form without an origin is refused without consuming anything', async () => {
    app = await startTestApp({ express, connection: { trustedProvider: false } })
    const agent = request.agent(app.server)
    const start = await agent.get('/auth/bitbucket')
    const callback = new URL(await app.fake.signIn(start.headers.location ?? '', { person: 'alice' }))
    await agent.get(`${callback.pathname}${callback.search}`).expect(302)
    const code = app.mails[0]?.code ?? ''
    await agent.post('/auth/bitbucket/email/verify').type('form').send({ code }).expect(403)
    await agent.post('/auth/bitbucket/email/verify').set('Origin', app.url).type('form').send({ code }).expect(303)
  })
})
