import { Browser, Connection } from '../lib/client.mjs'
import { callback, signIn, start } from '../lib/sign-in.mjs'
import { pause, rotated } from '../lib/statistics.mjs'
import { ROUND_TRIP_MS } from '../lib/surroundings.mjs'

/** What a person needs at Bitbucket at the very least. */
const THINK_MS = 400
/** Who has signed in before the addresses are slow. */
const KNOWN = 7

/**
 * How long a callback waits for the provider, in round trips: warm = right after other sign-ins, cold = the first one
 * after every connection was lost, slowEmails = warm, while the addresses take ten round trips. `bare` is what one request on an open connection takes in the same unit, right before
 * and after: more than 1 is what a busy machine adds to each round trip.
 *
 * @param {object[]} apps behind the latency
 * @param {Awaited<ReturnType<typeof import('../lib/surroundings.mjs').startProvider>>} provider
 * @param {{ rounds: number, warmUp: number }} plan
 */
export async function measureRoundTrips(apps, provider, { rounds, warmUp }) {
  await Promise.all(
    apps.map(async (app) => {
      const connection = new Connection(app.port)
      for (let done = 0; done < warmUp; done++) await signIn(app.contender, connection)
      connection.close()
    }),
  )
  const samples = {
    warm: [],
    cold: [],
    slowEmails: [],
    warmConnections: [],
    coldConnections: [],
    requests: [],
    bare: [],
  }
  const file = (series, round, app, value) => {
    samples[series][round] = { ...samples[series][round], [app.contender.id]: value }
  }
  for (let round = 0; round < rounds; round++) {
    for (const app of rotated(apps, round)) {
      const connection = new Connection(app.port)
      await provider.send('drop')
      await pause(50)
      const bare = new Connection(Number(new URL(provider.endpoints.http.delayed.apiURL).port))
      const cold = await measureCallback(app, provider, connection, bare)
      file('cold', round, app, cold.roundTrips)
      file('coldConnections', round, app, cold.connections)
      const warm = await measureCallback(app, provider, connection, bare)
      file('warm', round, app, warm.roundTrips)
      file('warmConnections', round, app, warm.connections)
      file('requests', round, app, warm.requests)
      await measureCallback(app, provider, connection, bare, KNOWN)
      // The proxy adds its round trip to what the provider takes.
      await provider.send('trouble', { emailsMs: 9 * ROUND_TRIP_MS })
      file('slowEmails', round, app, (await measureCallback(app, provider, connection, bare, KNOWN)).roundTrips)
      await provider.send('trouble', { emailsMs: 0 })
      file('bare', round, app, (cold.bare + warm.bare) / 2)
      connection.close()
      bare.close()
    }
  }
  return samples
}

async function measureCallback(app, provider, connection, bare, person) {
  const browser = new Browser(connection)
  const authorizationURL = await start(app.contender, browser)
  await pause(THINK_MS)
  const before = await bareRequest(bare)
  await provider.send('counts')
  const began = performance.now()
  await callback(app.contender, browser, authorizationURL, person)
  const tookMs = performance.now() - began
  const counts = await provider.send('counts')
  const bareMs = (before + (await bareRequest(bare))) / 2
  const requests = Object.values(counts.requests).reduce((sum, count) => sum + count, 0)
  return { roundTrips: tookMs / ROUND_TRIP_MS, bare: bareMs / ROUND_TRIP_MS, connections: counts.connections, requests }
}

/** Milliseconds of one request on an open connection; the first of two opens it. */
async function bareRequest(connection) {
  await connection.request('GET', '/2.0/user')
  const began = performance.now()
  await connection.request('GET', '/2.0/user')
  return performance.now() - began
}
