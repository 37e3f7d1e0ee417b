import { Browser, Connection } from '../lib/client.mjs'
import { callback, signIn, start } from '../lib/sign-in.mjs'
import { pause } from '../lib/statistics.mjs'

/**
 * Connections that an outage leaves: the provider takes connections and answers nothing while people come back from it;
 * they give up after `hangsMs`. Counted before the outage and `afterMs` after it.
 *
 * @param {{ contender: import('../contenders/index.mjs').Contender, port: number }} app the only one that is in use
 * @param {Awaited<ReturnType<typeof import('../lib/surroundings.mjs').startProvider>>} provider
 * @param {{ callbacks: number, hangsMs: number, afterMs: number }} plan
 */
export async function measureOutage(app, provider, { callbacks, hangsMs, afterMs }) {
  await provider.send('drop')
  const first = new Connection(app.port)
  await signIn(app.contender, first)
  first.close()
  const before = await provider.send('connections')
  const people = await Promise.all(
    Array.from({ length: callbacks }, async () => {
      const connection = new Connection(app.port)
      const browser = new Browser(connection)
      return { connection, browser, url: await start(app.contender, browser) }
    }),
  )
  await provider.send('trouble', { hangs: true })
  for (const { browser, url } of people) callback(app.contender, browser, url).catch(() => {})
  await pause(hangsMs)
  const during = await provider.send('connections')
  for (const { connection } of people) connection.close()
  await provider.send('trouble', { hangs: false })
  await pause(afterMs)
  return { before, during, after: await provider.send('connections') }
}
