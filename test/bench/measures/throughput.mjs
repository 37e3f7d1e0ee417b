import { Browser, Connection } from '../lib/client.mjs'
import { signIn, start } from '../lib/sign-in.mjs'
import { rotated } from '../lib/statistics.mjs'

/** What a worker repeats. */
const WORK = {
  start: (contender, connection, host) => start(contender, new Browser(connection, host)),
  signIn,
  unrelated: (_contender, connection) => connection.request('GET', '/unrelated'),
}

/**
 * Repeats one kind of work on `concurrency` connections for `ms` milliseconds, or `count` times.
 *
 * @param {{ contender: import('../contenders/index.mjs').Contender, port: number, send(command: string): Promise<any> }} app
 * @param {{ kind: keyof WORK, concurrency: number, ms?: number, count?: number, hosts?: string[] }} load
 * @returns {Promise<{ perSecond: number, cpuMs: number, systemMs: number, busy: number }>} `cpuMs` of the app's process per
 *   repetition, `systemMs` of it in the kernel;
 *   `busy` = share of one core the app used: near 1 means the app, not the driver, was the limit
 */
export async function run(
  app,
  { kind, concurrency, ms = Number.POSITIVE_INFINITY, count = Number.POSITIVE_INFINITY, hosts },
) {
  const connections = Array.from({ length: concurrency }, () => new Connection(app.port))
  const before = await app.send('cpu')
  const began = performance.now()
  const deadline = began + ms
  let begun = 0
  let done = 0
  await Promise.all(
    connections.map(async (connection, worker) => {
      for (let turn = worker; performance.now() < deadline && begun < count; turn += concurrency) {
        begun++
        await WORK[kind](app.contender, connection, hosts?.[turn % hosts.length])
        done++
      }
    }),
  )
  const elapsedMs = performance.now() - began
  const after = await app.send('cpu')
  for (const connection of connections) connection.close()
  const cpuMs = (after.user + after.system - before.user - before.system) / 1000
  const systemMs = (after.system - before.system) / 1000
  return {
    perSecond: (done / elapsedMs) * 1000,
    cpuMs: cpuMs / done,
    systemMs: systemMs / done,
    busy: cpuMs / elapsedMs,
  }
}

/** The loads of one round; the key is what the samples are filed under. */
const LOADS = {
  start: { kind: 'start', concurrency: 32 },
  signIn32: { kind: 'signIn', concurrency: 32 },
  signIn1: { kind: 'signIn', concurrency: 1 },
  unrelated: { kind: 'unrelated', concurrency: 32 },
}

/**
 * Sign-ins before anything is measured. V8 still compiles during the first 3,000, on threads whose CPU counts as the
 * app's; a warm-up by time ends sooner the busier the machine is, and the contender with more code pays for it.
 */
export const WARM_UP = 5000

/**
 * Rounds in which each app has its turn at each load.
 *
 * @param {Parameters<typeof run>[0][]} apps
 * @param {{ warmUp: number, rounds: number, ms: number, loads: (keyof LOADS)[] }} plan
 * @returns {Promise<Record<string, Record<string, number>[]>>} samples by `<load>.<figure>`, one record per round
 */
export async function measureThroughput(apps, { warmUp, rounds, ms, loads }) {
  for (const app of apps) await run(app, { ...LOADS.signIn32, count: warmUp })
  const samples = {}
  for (let round = 0; round < rounds; round++) {
    for (const load of loads) {
      for (const app of rotated(apps, round)) {
        const figures = await run(app, { ...LOADS[load], ms })
        await app.send('clearStore')
        for (const [figure, value] of Object.entries(figures)) {
          const series = `${load}.${figure}`
          samples[series] ??= []
          samples[series][round] = { ...samples[series][round], [app.contender.id]: value }
        }
      }
    }
  }
  return samples
}

/** Bytes in the session store per abandoned start. */
export async function measureAbandonedStarts(app, count = 100) {
  await app.send('clearStore')
  const connection = new Connection(app.port)
  for (let started = 0; started < count; started++) await start(app.contender, new Browser(connection))
  connection.close()
  const bytes = await app.send('storeBytes')
  await app.send('clearStore')
  return bytes / count
}

/** Bytes of cookies that every request carries from a start to its callback. */
export async function measureCookies(app) {
  const connection = new Connection(app.port)
  const browser = new Browser(connection)
  await start(app.contender, browser)
  connection.close()
  return browser.cookie.length
}
