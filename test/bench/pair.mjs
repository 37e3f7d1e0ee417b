/**
 * Two builds of this package in one process: `node pair.mjs <dist> <dist> [--rounds 150] [--batch 60]`. Short batches
 * take turns, without a network and without an upstream, so that load from elsewhere hits both: two copies of the same
 * build differ by 0.01. Prints the median ratio of CPU, and the tenth percentile of each in microseconds.
 */
import http from 'node:http'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { Duplex } from 'node:stream'
import { parseArgs } from 'node:util'
import { CLIENT, createBaseApp, SECRET } from './contenders/base-app.mjs'
import { accountHooks } from './contenders/ours.mjs'
import { median, quantile } from './lib/statistics.mjs'
import { openStore } from './lib/store.mjs'

const require = createRequire(import.meta.url)
const ORIGIN = 'http://127.0.0.1:3000'
const PROVIDER = 'http://127.0.0.1:9'
const ANSWERS = {
  '/token': { access_token: 'a'.repeat(80), token_type: 'bearer', expires_in: 7200, scopes: 'account email' },
  '/2.0/user': { type: 'user', uuid: '{00000000-0000-4000-8000-000000000001}', display_name: 'Person', links: {} },
  '/2.0/user/emails': { page: 1, size: 1, values: [{ email: 'p@example.com', is_primary: true, is_confirmed: true }] },
}

const { positionals, values: args } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '150' }, batch: { type: 'string', default: '60' } },
})
const sites = await Promise.all(positionals.map((dist) => openSite(resolve(dist))))
const samples = sites.map(() => ({ start: [], callback: [] }))
for (let warmUp = 0; warmUp < 30; warmUp++) for (const site of sites) await cpuOf(site, 100)
for (let round = 0; round < Number(args.rounds); round++) {
  for (const index of round % 2 ? [1, 0] : [0, 1]) {
    const { start, callback } = await cpuOf(sites[index], Number(args.batch))
    samples[index].start.push(start)
    samples[index].callback.push(callback)
  }
}
for (const kind of ['start', 'callback']) {
  const ratios = samples[1][kind].map((value, round) => value / samples[0][kind][round])
  const [first, second] = samples.map((each) => quantile(each[kind], 0.1).toFixed(0))
  console.log(`${kind}: ${median(ratios).toFixed(3)} × (${first} µs, ${second} µs)`)
}
process.exit()

/** The app of the bench with this build, its requests to the provider answered in the next turn of the event loop. */
async function openSite(dist) {
  const transport = require(`${dist}/bitbucket/transport.js`)
  const request = ({ url }) =>
    new Promise((answer) => {
      const body = () => JSON.parse(JSON.stringify(ANSWERS[url.pathname]))
      setImmediate(() => answer({ status: 200, headers: {}, body: body() }))
    })
  transport.createTransport = () => ({ request, preconnect() {}, close() {} })
  const { bitbucketSignIn } = require(`${dist}/index.js`)
  const store = await openStore()
  const connection = {
    ...CLIENT,
    callbackURL: `${ORIGIN}/auth/bitbucket/callback`,
    trustedProvider: true,
    endpoints: {
      authorizationURL: `${PROVIDER}/authorize`,
      tokenURL: `${PROVIDER}/token`,
      apiURL: `${PROVIDER}/2.0`,
    },
  }
  const app = createBaseApp(
    { store },
    {
      behind(mount, passport, users) {
        const options = { passport, secrets: [SECRET], connection, accounts: accountHooks(users), limiter: 'memory' }
        mount.use('/auth/bitbucket', bitbucketSignIn({ ...options, sendEmailCode() {} }).router)
      },
    },
  )
  return { app, store }
}

/** Microseconds of CPU of a start and of a callback, each the mean of a batch. */
async function cpuOf({ app, store }, count) {
  const started = []
  const start = await spent(count, async () => {
    const res = await send(app, '/auth/bitbucket')
    const state = new URL(res.getHeader('location')).searchParams.get('state')
    started.push({ state, cookie: String(res.getHeader('set-cookie')).split(';')[0] })
  })
  const callback = await spent(count, async (number) => {
    const { state, cookie } = started[number]
    const res = await send(app, `/auth/bitbucket/callback?code=code&state=${state}`, cookie)
    if (res.getHeader('location') !== '/') throw new Error(`The callback did not sign in: ${res.statusCode}`)
  })
  await store.clear()
  return { start, callback }
}

async function spent(count, work) {
  const before = process.cpuUsage()
  for (let number = 0; number < count; number++) await work(number)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / count
}

/** One request to the app without a socket. */
function send(app, url, cookie) {
  const socket = Object.assign(new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() }), {
    remoteAddress: '127.0.0.1',
    setTimeout() {},
  })
  const req = Object.assign(new http.IncomingMessage(socket), { method: 'GET', url, httpVersion: '1.1' })
  req.headers = { host: new URL(ORIGIN).host, accept: 'text/html', ...(cookie && { cookie }) }
  const res = new http.ServerResponse(req)
  res.assignSocket(socket)
  req.push(null)
  return new Promise((done) => {
    res.on('finish', () => {
      res.detachSocket(socket)
      res.emit('close')
      done(res)
    })
    app(req, res)
  })
}
