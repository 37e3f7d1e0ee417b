/**
 * The provider process: the minimum of Bitbucket for a sign-in, on two hosts as at Bitbucket (site and API), over
 * http and https, direct and behind a set latency. Fast on purpose: the contenders are measured, not the provider.
 *
 * A code is `<person>-<anything>`; the driver invents codes, because the visit at Bitbucket costs the app nothing.
 */
import http from 'node:http'
import https from 'node:https'
import { startDelayProxy } from './delay.mjs'

const { key, cert, roundTripMs } = JSON.parse(process.env.BENCH_PROVIDER)
/** Bitbucket's tokens usually have more than 2500 characters. */
const PADDING = 'x'.repeat(2600)

const counts = { requests: {}, connections: 0 }
/** Faults: `hangs` = it accepts connections and never responds; the added latency. */
const trouble = { hangs: false, allMs: 0, emailsMs: 0 }
const sockets = new Set()
const droppable = [{ drop: () => sockets.forEach((socket) => void socket.destroy()) }]

const site = { 'POST /site/oauth2/access_token': answerToken }
const api = { 'GET /2.0/user': answerUser, 'GET /2.0/user/emails': answerEmails }

const endpoints = {
  http: { direct: await open('http', 0), delayed: await open('http', roundTripMs) },
  https: { direct: await open('https', 0), delayed: await open('https', roundTripMs) },
}
process.send({ ready: true, endpoints })
process.on('message', ({ id, command, input }) => process.send({ id, result: commands[command](input) ?? null }))
process.on('disconnect', () => process.exit())

const commands = {
  /** Counts since the last call. */
  counts() {
    const taken = { ...counts }
    Object.assign(counts, { requests: {}, connections: 0 })
    return taken
  },
  /** Ends every connection, as an hour without a sign-in would. */
  drop() {
    for (const { drop } of droppable) drop()
  },
  /** Sets the faults. */
  trouble: (input) => void Object.assign(trouble, input),
  /** Connections that are open now. */
  connections: () => sockets.size,
  cpu: () => process.cpuUsage(),
}

/** Opens site and API of one scheme and latency. */
async function open(scheme, latencyMs) {
  const siteOrigin = `${scheme}://127.0.0.1:${await listen(scheme, site, latencyMs)}`
  const apiOrigin = `${scheme}://127.0.0.1:${await listen(scheme, api, latencyMs)}`
  return {
    authorizationURL: `${siteOrigin}/site/oauth2/authorize`,
    tokenURL: `${siteOrigin}/site/oauth2/access_token`,
    apiURL: `${apiOrigin}/2.0`,
  }
}

async function listen(scheme, routes, latencyMs) {
  const handler = (req, res) => {
    if (trouble.hangs) return
    const route = `${req.method} ${req.url}`
    counts.requests[route] = (counts.requests[route] ?? 0) + 1
    if (routes[route] && trouble.allMs > 0) setTimeout(routes[route], trouble.allMs, req, res)
    else if (routes[route]) routes[route](req, res)
    else sendJson(res, { error: 'not found', route }, 404)
  }
  const server = scheme === 'https' ? https.createServer({ key, cert }, handler) : http.createServer(handler)
  server.keepAliveTimeout = 120_000
  server.on('connection', (socket) => {
    counts.connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  if (latencyMs === 0) return port
  const proxy = await startDelayProxy(port, latencyMs)
  droppable.push(proxy)
  return proxy.port
}

function answerToken(req, res) {
  let body = ''
  req.on('data', (chunk) => {
    body += chunk
  })
  req.on('end', () => {
    const person = /(?:^|&)code=(\d+)-/.exec(body)?.[1]
    if (person === undefined) return sendJson(res, { error: 'invalid_grant' }, 400)
    sendJson(res, {
      access_token: `at-${person}-${PADDING}`,
      refresh_token: `rt-${person}-${PADDING}`,
      token_type: 'bearer',
      expires_in: 7200,
      scope: 'account email',
    })
  })
}

function answerUser(req, res) {
  const person = personOf(req)
  if (person === undefined) return sendJson(res, { type: 'error', error: { message: 'Token is invalid.' } }, 401)
  const uuid = `{00000000-0000-4000-8000-${person.padStart(12, '0')}}`
  const encoded = encodeURIComponent(uuid)
  sendJson(res, {
    type: 'user',
    uuid,
    account_id: `557058:00000000-0000-4000-8000-${person.padStart(12, '0')}`,
    username: `person${person}`,
    nickname: `person${person}`,
    display_name: `Person Number ${person}`,
    account_status: 'active',
    is_staff: false,
    has_2fa_enabled: null,
    location: null,
    created_on: '2020-02-19T10:36:46.361566+00:00',
    links: {
      self: { href: `https://api.bitbucket.org/2.0/users/${encoded}` },
      html: { href: `https://bitbucket.org/${encoded}/` },
      avatar: { href: `https://secure.gravatar.com/avatar/${person.padStart(32, '0')}?d=identicon` },
      repositories: { href: `https://api.bitbucket.org/2.0/repositories/${encoded}` },
    },
  })
}

function answerEmails(req, res) {
  const person = personOf(req)
  if (person === undefined) return sendJson(res, { type: 'error', error: { message: 'Token is invalid.' } }, 401)
  if (trouble.emailsMs > 0 && !req.late) {
    req.late = true
    setTimeout(answerEmails, trouble.emailsMs, req, res)
    return
  }
  const email = (address, is_primary, is_confirmed) => ({
    type: 'email',
    email: address,
    is_primary,
    is_confirmed,
    links: { self: { href: `https://api.bitbucket.org/2.0/user/emails/${address}` } },
  })
  sendJson(res, {
    page: 1,
    pagelen: 10,
    size: 2,
    values: [email(`person${person}@example.com`, true, true), email(`old${person}@example.com`, false, false)],
  })
}

function personOf(req) {
  return /^Bearer at-(\d+)-/.exec(req.headers.authorization ?? '')?.[1]
}

function sendJson(res, value, status = 200) {
  const body = JSON.stringify(value)
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  res.end(body)
}
