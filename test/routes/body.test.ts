import { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import express5 from 'express'
import { describe, expect, test } from 'vitest'
import type { TestAppOptions } from '../support/app'
import { app, browser, open } from '../support/one-app'
import { enterCode, errorOf, handleOf, otherCode } from '../support/steps'

type Before = NonNullable<TestAppOptions['before']>
const BASE = '/auth/bitbucket'

/** Like `serverless-http` and its kind: the request of the app has a `Buffer` as body before any middleware runs. */
const functionAdapter: Before = (express) => {
  const handled = express as unknown as { handle(req: IncomingMessage, ...rest: unknown[]): void }
  const { handle } = handled
  handled.handle = (req, ...rest) => {
    void text(req).then((body) => {
      const { method, url, headers, socket } = req
      const event = Object.assign(new IncomingMessage(socket), { method, url, headers, complete: true })
      event.push(body)
      event.push(null)
      handle.call(express, Object.assign(event, { body: Buffer.from(body) }), ...rest)
    })
  }
}

/** Reads the stream to its end, and keeps it as `req.body` or not at all. */
const reading =
  (keep: (body: string) => unknown): Before =>
  (express) => {
    express.use((req, _res, next) => {
      void text(req).then((body) => {
        const kept = keep(body)
        if (kept !== undefined) req.body = kept
        next()
      })
    })
  }

describe.each([4, 5] as const)('forms on Express %i', (version) => {
  const express = version === 4 ? (require('express-4') as typeof express5) : express5
  const openWith = (before: Before) =>
    open({ express: version, connection: { trustedProvider: false }, without: ['storeTokens'], before })
  const all = { type: () => true }

  test.each<[string, Before]>([
    ['an adapter of functions as a service', functionAdapter],
    ['express.text()', (app) => app.use(express.text(all))],
    ['express.raw()', (app) => app.use(express.raw(all))],
    ['middleware that keeps a string', reading((body) => body)],
    ['middleware that keeps a Buffer', reading((body) => Buffer.from(body))],
    ['middleware that keeps bytes', reading((body) => new TextEncoder().encode(body))],
    [
      'express.urlencoded() and express.json()',
      (app) => app.use(express.urlencoded({ extended: true }), express.json()),
    ],
  ])('are read behind %s', async (_what, before) => {
    await openWith(before)
    await app.signIn(browser, 'alice')
    const { code = '' } = app.mails[0] ?? {}
    // The fields are read and not only passed: a wrong code is refused as one, and costs one attempt.
    await enterCode(app, browser, otherCode(code))
    expect(app.events.at(-1)).toMatchObject({ type: 'code_failed', code: 'code_wrong' })
    expect((await enterCode(app, browser)).location).toBe('/')
    expect(await app.me(browser)).toBe('u1')
    expect(app.errors).toEqual([])
  })

  test.each<[string, string]>([
    ['application/json', '{"code":'],
    ['application/json', '"text"'],
    ['application/json', ''],
    ['text/plain', 'code=BBBB-BBBB'],
    ['application/x-www-form-urlencoded', 'code=BBBB-BBBB&code=BBBB-BBBB'],
  ])('refuse an unreadable body behind express.text(), of the type %s: %s', async (type, body) => {
    await openWith((app) => app.use(express.text(all)))
    await app.signIn(browser, 'alice')
    const headers = { 'content-type': type }
    const answer = await browser.post(`${app.url}${BASE}/email/verify`, {}, { body, headers })
    expect([answer.status, errorOf(answer)]).toEqual([400, 'request_invalid'])
    expect(app.errors).toEqual([])
    expect((await enterCode(app, browser)).location).toBe('/')
  })

  test('are refused above 8 kB behind express.text()', async () => {
    await openWith((app) => app.use(express.text(all)))
    const post = (length: number) => browser.post(`${app.url}${BASE}/cancel`, { filler: 'x'.repeat(length) })
    expect(errorOf(await post(8 * 1024))).toBe('request_too_large')
    expect((await post(8 * 1024 - 'filler='.length)).status).toBe(303)
  })

  test('are a fault of the setup, told to the operator, if middleware read the stream and kept nothing', async () => {
    await openWith(reading(() => undefined))
    await app.signIn(browser, 'alice')
    const answer = await enterCode(app, browser)
    expect([answer.status, errorOf(answer)]).toEqual([500, 'configuration_invalid'])
    expect(app.errors).toEqual([expect.objectContaining({ message: expect.stringContaining('has read the body') })])
  })

  test('without a code consume no attempt and lead back to the code page', async () => {
    await openWith(() => {})
    await app.signIn(browser, 'alice')
    const pending = handleOf((await browser.get(`${app.url}${BASE}/email`)).text)
    for (let attempt = 0; attempt < 6; attempt++) {
      const answer = await browser.post(`${app.url}${BASE}/email/verify`, { pending })
      expect([answer.status, errorOf(answer)]).toEqual([400, 'request_invalid'])
      expect(answer.text).toContain(`href="${BASE}/email"`)
    }
    expect((await enterCode(app, browser)).location).toBe('/')
  })
})
