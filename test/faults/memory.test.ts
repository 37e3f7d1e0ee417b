import http = require('node:http')

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { FakeFault } from 'passport-bitbucket-signin/testing'
import { expect, test } from 'vitest'
import { TestBrowser } from '../support/browser'
import { afterwards, type Lab, startLab } from '../support/lab'

setFlagsFromString('--expose_gc')
const collect = runInNewContext('gc') as () => void

const FAULTS: readonly FakeFault[] = [
  { delivery: 'reset' },
  { delivery: 'truncate' },
  { delivery: 'reset-in-body' },
  { status: 502, html: '<h1>x</h1>' },
  { status: 429, json: {} },
  { status: 302, redirect: 'http://127.0.0.1:1/' },
  { bytes: Buffer.from('null') },
  { hugeBytes: 2 * 1024 * 1024 },
  { json: { padding: 'x'.repeat(200_000) } },
]

/** One round of everything that goes wrong, at every endpoint, with a sign-in that goes right after each. */
async function storm(lab: Lab, agent: http.Agent): Promise<number> {
  let count = 0
  for (const endpoint of ['token', 'user', 'emails', 'workspace'] as const) {
    for (const fault of FAULTS) {
      const browser = new TestBrowser('127.0.0.1', agent)
      const url = await lab.callback(browser, 'alice')
      lab.fake.script(endpoint, fault)
      await browser.get(url)
      lab.fake.clearScripts()
      await lab.signIn(new TestBrowser('127.0.0.1', agent), 'alice')
      count += 2
    }
  }
  // The records of the lab and its Bitbucket are not a leak.
  for (const list of [lab.accounts.calls, lab.events, lab.errors, lab.mails]) list.length = 0
  lab.accounts.users.clear()
  lab.accounts.tokens.clear()
  lab.store.clear()
  lab.fake.reset()
  return count
}

test('faults of every kind leave memory, sockets and timers at their level', async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 2 })
  afterwards(() => agent.destroy())
  const lab = await startLab({
    connection: { workspaces: ['acme'] },
    options: {
      http: { timeoutMs: 300 },
      // Counters keep used handles for a quarter of an hour; here they would look like a leak.
      limiter: () => ({ consume: async () => ({ consumedPoints: 1 }), get: async () => null }),
    },
  })
  const look = async () => {
    for (let turn = 0; turn < 3; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      collect()
    }
    const open = (name: string) => process.getActiveResourcesInfo().filter((each) => each === name).length
    return { heap: process.memoryUsage().heapUsed, sockets: open('TCPSocketWrap'), timers: open('Timeout') }
  }
  for (let round = 0; round < 8; round++) await storm(lab, agent)
  const before = await look()
  let after = before
  // A leak shows in every block. The engine's own allocations come and go, so the block with the least growth counts.
  const bytesPerSignIn: number[] = []
  for (let block = 0; block < 4; block++) {
    const { heap } = after
    let signIns = 0
    for (let round = 0; round < 5; round++) signIns += await storm(lab, agent)
    after = await look()
    bytesPerSignIn.push((after.heap - heap) / signIns)
  }
  expect(Math.min(...bytesPerSignIn)).toBeLessThan(1024)
  expect(after.sockets).toBeLessThanOrEqual(before.sockets + 4)
  expect(after.timers).toBeLessThanOrEqual(before.timers + 2)
  expect(lab.faults).toEqual([])
}, 120_000)
