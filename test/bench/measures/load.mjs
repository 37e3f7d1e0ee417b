import { Connection } from '../lib/client.mjs'
import { signIn } from '../lib/sign-in.mjs'
import { rotated } from '../lib/statistics.mjs'
import { run } from './throughput.mjs'

/**
 * Many sign-ins at a time at sites of several processes, with sessions in PostgreSQL. The sites take turns.
 *
 * @param {{ contender: import('../contenders/index.mjs').Contender, apps: Parameters<typeof run>[0][] }[]} sites
 * @param {Awaited<ReturnType<typeof import('../lib/surroundings.mjs').startProvider>>} provider
 * @param {{ warmUp: number, rounds: number, ms: number, concurrencies: number[] }} plan
 * @returns {Promise<Record<string, Record<string, number>[]>>} samples by `<concurrency>.<figure>`, one record per round
 */
export async function measureLoad(sites, provider, { warmUp, rounds, ms, concurrencies }) {
  for (const { apps } of sites) {
    for (const app of apps) await run(app, { kind: 'signIn', concurrency: 16, count: warmUp })
  }
  const samples = {}
  for (let round = 0; round < rounds; round++) {
    for (const concurrency of concurrencies) {
      for (const site of rotated(sites, round)) {
        const figures = await load(site, provider, concurrency, ms)
        for (const [figure, value] of Object.entries(figures)) {
          const series = `${concurrency}.${figure}`
          samples[series] ??= []
          samples[series][round] = { ...samples[series][round], [site.contender.id]: value }
        }
      }
    }
  }
  return samples
}

async function load({ contender, apps }, provider, concurrency, ms) {
  const cpuMs = async () => {
    const spent = await Promise.all(apps.map((app) => app.send('cpu')))
    return spent.reduce((sum, { user, system }) => sum + (user + system) / 1000, 0)
  }
  // Otherwise those of the site before would count.
  await provider.send('drop')
  await Promise.all(apps.map((app) => app.send('watchDelay')))
  const before = await cpuMs()
  const began = performance.now()
  const found = { signedIn: 0, failed: 0, longestMs: 0, connections: 0 }
  const watch = setInterval(async () => {
    found.connections = Math.max(found.connections, await provider.send('connections'))
  }, 200)
  const worker = async (number) => {
    const connection = new Connection(apps[number % apps.length].port)
    while (performance.now() < began + ms) await timed(contender, connection, found)
    connection.close()
  }
  await Promise.all(Array.from({ length: concurrency }, (_, number) => worker(number)))
  clearInterval(watch)
  const elapsedMs = performance.now() - began
  const spent = (await cpuMs()) - before
  const delays = await Promise.all(apps.map((app) => app.send('delay')))
  for (const app of apps) await app.send('clearStore')
  const { signedIn, ...rest } = found
  return {
    ...rest,
    perSecond: (signedIn / elapsedMs) * 1000,
    cpuMs: spent / signedIn,
    delayMs: Math.max(...delays.map(({ p99 }) => p99)),
  }
}

async function timed(contender, connection, found) {
  const began = performance.now()
  try {
    await signIn(contender, connection)
    found.signedIn++
  } catch {
    found.failed++
  }
  found.longestMs = Math.max(found.longestMs, performance.now() - began)
}
