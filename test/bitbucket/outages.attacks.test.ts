import http = require('node:http')

import type { Socket } from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import { TestBrowser } from '../support/browser'
import { afterwards, GOOD_EMAILS, GOOD_TOKEN, GOOD_USER, jsonBytes, startRawLab, until } from '../support/lab'

const DEADLINE_MS = 1500
const GOOD = {
  '/token': GOOD_TOKEN,
  '/2.0/user': GOOD_USER,
  '/2.0/user/emails': GOOD_EMAILS,
  '/2.0/user/workspaces/acme/permission': {
    type: 'workspace_membership',
    permission: 'member',
    workspace: { slug: 'acme', uuid: '{99999999-2222-4333-8444-555555555555}' },
  },
}
type Path = keyof typeof GOOD

const STALL = () => {}
const RESET = (socket: Socket) => socket.resetAndDestroy()
const status = (code: number) => (socket: Socket) =>
  void socket.write(`HTTP/1.1 ${code} Status\r\ncontent-length: 2\r\n\r\n{}`)
const HALF = (socket: Socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"a":')

/** Which of the concurrent requests fails fast, and which one hangs. */
const OUTAGES: Readonly<Record<string, Partial<Record<Path, (socket: Socket) => void>>>> = {
  'user is reset, emails stalls': { '/2.0/user': RESET, '/2.0/user/emails': STALL },
  'user is refused, emails stops in the middle': { '/2.0/user': status(500), '/2.0/user/emails': HALF },
  'emails is reset, user stalls': { '/2.0/user/emails': RESET, '/2.0/user': STALL },
  'user is refused, the workspace stalls': {
    '/2.0/user': status(401),
    '/2.0/user/workspaces/acme/permission': STALL,
  },
  'the workspace refuses, emails stalls': {
    '/2.0/user/workspaces/acme/permission': status(403),
    '/2.0/user/emails': STALL,
  },
  'the workspace is reset, user and emails stall': {
    '/2.0/user/workspaces/acme/permission': RESET,
    '/2.0/user': STALL,
    '/2.0/user/emails': STALL,
  },
  'the token stalls': { '/token': STALL },
}

const WAYS = {
  'our own pool': () => ({}),
  'an agent of the app': () => {
    const agent = new http.Agent({ keepAlive: true })
    afterwards(() => agent.destroy())
    return { agent }
  },
}

describe.each(Object.entries(WAYS))('through %s', (_way, optionsOf) => {
  test.each(Object.entries(OUTAGES))('case 18: %s: leaves nothing open after the deadline', async (_name, outage) => {
    let faults: typeof outage = {}
    const hanging = new Set<Socket>()
    const { lab, bitbucket } = await startRawLab(
      (path, socket) => {
        const fault = faults[path as Path]
        if (fault === STALL || fault === HALF) hanging.add(socket)
        if (fault) fault(socket)
        else socket.write(jsonBytes(GOOD[path as Path]))
      },
      { options: { http: { timeoutMs: DEADLINE_MS, ...optionsOf() } }, connection: { workspaces: ['acme'] } },
    )
    const signIn = async () => {
      const browser = new TestBrowser()
      const { status } = await browser.get(lab.callbackURL({ code: 'c', state: await lab.state(browser) }))
      return { browser, status }
    }
    expect((await signIn()).status).toBe(302)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    faults = outage
    let ended = false
    const refused = Promise.all(Array.from({ length: 60 }, signIn)).finally(() => {
      ended = true
    })
    refused.catch(() => {})
    await until(() => hanging.size > 0)
    while (!ended) {
      await vi.advanceTimersByTimeAsync(DEADLINE_MS)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect((await refused).map(({ status }) => status).filter((each) => each < 400)).toEqual([])
    await vi.advanceTimersByTimeAsync(DEADLINE_MS)
    await until(
      () => [...hanging].every((socket) => !bitbucket.sockets.has(socket)),
      'the hanging requests to be ended',
    )
    // Longer than an idle connection is kept.
    await vi.advanceTimersByTimeAsync(20_000)
    expect(vi.getTimerCount()).toBe(0)
    faults = {}
    const served = await Promise.all(Array.from({ length: 10 }, signIn))
    expect(served.map(({ status }) => status)).toEqual(Array(10).fill(302))
    expect(await lab.me(served[0]?.browser as TestBrowser)).toBe('u1')
    expect(lab.faults).toEqual([])
  })
})
