import { Browser, Connection } from '../lib/client.mjs'
import { start } from '../lib/sign-in.mjs'
import { rotated } from '../lib/statistics.mjs'
import { startApp } from '../lib/surroundings.mjs'
import { run } from './throughput.mjs'

const TENANTS = [1, 10, 100, 1000]
const OPEN = [1, 100, 10_000]

/**
 * What more connections and more open transactions do to a start and a callback. A callback's cost is a whole sign-in
 * less its start.
 *
 * @param {import('../contenders/index.mjs').Contender} contender this package
 * @param {object} provider
 * @param {{ rounds: number, ms: number }} plan
 */
export async function measureGrowth(contender, provider, plan) {
  return {
    tenants: await measureTenants(contender, provider, plan),
    open: await measureOpenTransactions(contender, provider, plan),
  }
}

async function measureTenants(contender, provider, plan) {
  const apps = []
  for (const count of TENANTS) {
    const app = await startApp(contender, provider, { options: { tenants: count }, execArgv: ['--expose-gc'] })
    const hosts = Array.from({ length: count }, (_, number) => `t${number}.localhost:${app.port}`)
    const heapBefore = await app.send('heap')
    await startOnEach(app, hosts)
    apps.push({ app, count, hosts, heapBytes: (await app.send('heap')) - heapBefore })
  }
  const rows = await measureCosts(apps, plan)
  for (const { app } of apps) await app.stop()
  return rows
}

async function measureOpenTransactions(contender, provider, plan) {
  const apps = []
  for (const count of OPEN) {
    const app = await startApp(contender, provider, { execArgv: ['--expose-gc'] })
    await run(app, { kind: 'start', concurrency: 8, ms: plan.ms })
    const heapBefore = await app.send('heap')
    await startOnEach(app, Array(count).fill(undefined))
    apps.push({ app, count, hosts: undefined, heapBytes: (await app.send('heap')) - heapBefore })
  }
  const rows = await measureCosts(apps, plan)
  for (const { app } of apps) await app.stop()
  return rows
}

async function startOnEach(app, hosts) {
  const connection = new Connection(app.port)
  for (const host of hosts) await start(app.contender, new Browser(connection, host))
  connection.close()
}

/** CPU of a start and of a callback for each app, interleaved; one record per round and count. */
async function measureCosts(apps, { rounds, ms }) {
  for (const { app, hosts } of apps) await run(app, { kind: 'signIn', concurrency: 8, ms: ms * 2, hosts })
  const rows = apps.map(({ count, heapBytes }) => ({ count, heapBytes, start: [], callback: [] }))
  for (let round = 0; round < rounds; round++) {
    for (const { app, count, hosts } of rotated(apps, round)) {
      const started = await run(app, { kind: 'start', concurrency: 8, ms, hosts })
      const signedIn = await run(app, { kind: 'signIn', concurrency: 8, ms, hosts })
      await app.send('clearStore')
      const row = rows.find((each) => each.count === count)
      row.start.push(started.cpuMs)
      row.callback.push(signedIn.cpuMs - started.cpuMs)
    }
  }
  return rows
}
