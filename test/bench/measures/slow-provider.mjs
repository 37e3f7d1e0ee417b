import { Connection } from '../lib/client.mjs'
import { signIn } from '../lib/sign-in.mjs'
import { run } from './throughput.mjs'

/**
 * Sign-ins while the provider takes `answersMs` for every answer, and as many afterwards when it is quick again: whether
 * something ran out. Sessions in PostgreSQL, with fewer connections than there are sign-ins.
 *
 * @param {Parameters<typeof run>[0]} app
 * @param {Awaited<ReturnType<typeof import('../lib/surroundings.mjs').startProvider>>} provider
 * @param {{ answersMs: number, concurrency: number, ms: number }} plan
 */
export async function measureSlowProvider(app, provider, { answersMs, concurrency, ms }) {
  await run(app, { kind: 'signIn', concurrency, count: 400 })
  await provider.send('trouble', { allMs: answersMs })
  await app.send('watchDelay')
  const found = { signedIn: 0, failures: {}, longestMs: 0, connections: 0 }
  const deadline = performance.now() + ms
  const watch = setInterval(async () => {
    found.connections = Math.max(found.connections, await provider.send('connections'))
  }, 500)
  await Promise.all(Array.from({ length: concurrency }, () => worker(app, deadline, found)))
  clearInterval(watch)
  const delay = await app.send('delay')
  await provider.send('trouble', { allMs: 0 })
  const { perSecond } = await run(app, { kind: 'signIn', concurrency, count: 400 })
  return { ...found, delay, perSecondAfter: perSecond }
}

async function worker(app, deadline, found) {
  const connection = new Connection(app.port)
  while (performance.now() < deadline) {
    const began = performance.now()
    try {
      await signIn(app.contender, connection)
      found.signedIn++
    } catch (error) {
      const why = String(error.message).slice(0, 60)
      found.failures[why] = (found.failures[why] ?? 0) + 1
    }
    found.longestMs = Math.max(found.longestMs, performance.now() - began)
  }
  connection.close()
}
