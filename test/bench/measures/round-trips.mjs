import { Browser, Connection } from '../lib/client.mjs'
import { callback, signIn, start } from '../lib/sign-in.mjs'
import { median, pause, rotated } from '../lib/statistics.mjs'
import { ROUND_TRIP_MS } from '../lib/surroundings.mjs'

/** What a person needs at Bitbucket at the very least. */
const THINK_MS = 400

/**
 * How long a callback waits for the provider, in round trips: warm = right after other sign-ins, cold = the first one
 * after every connection was lost.
 *
 * @param {object[]} apps behind the latency
 * @param {{ send(command: string): Promise<any> }} provider
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
  const samples = { warm: [], cold: [], warmConnections: [], coldConnections: [], requests: [] }
  const file = (series, round, app, value) => {
    samples[series][round] = { ...samples[series][round], [app.contender.id]: value }
  }
  for (let round = 0; round < rounds; round++) {
    for (const app of rotated(apps, round)) {
      const connection = new Connection(app.port)
      await provider.send('drop')
      await pause(50)
      const cold = await measureCallback(app, provider, connection)
      file('cold', round, app, cold.roundTrips)
      file('coldConnections', round, app, cold.connections)
      const warm = await measureCallback(app, provider, connection)
      file('warm', round, app, warm.roundTrips)
      file('warmConnections', round, app, warm.connections)
      file('requests', round, app, warm.requests)
      connection.close()
    }
  }
  return samples
}

async function measureCallback(app, provider, connection) {
  const browser = new Browser(connection)
  const authorizationURL = await start(app.contender, browser)
  await pause(THINK_MS)
  await provider.send('counts')
  const began = performance.now()
  await callback(app.contender, browser, authorizationURL)
  const roundTrips = (performance.now() - began) / ROUND_TRIP_MS
  const counts = await provider.send('counts')
  const requests = Object.values(counts.requests).reduce((sum, count) => sum + count, 0)
  return { roundTrips, connections: counts.connections, requests }
}

/** What one bare request on an open connection takes in the same unit: what the proxy itself adds to 1.00. */
export async function calibrate(endpoints) {
  const connection = new Connection(Number(new URL(endpoints.apiURL).port))
  await connection.request('GET', '/2.0/user')
  const values = []
  for (let sample = 0; sample < 9; sample++) {
    const began = performance.now()
    await connection.request('GET', '/2.0/user')
    values.push((performance.now() - began) / ROUND_TRIP_MS)
  }
  connection.close()
  return median(values)
}
