import { randomFillSync } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import { CLIENT, createBaseApp } from './base-app.mjs'

/**
 * The lower bound of a sign-in's cost: a start before the session that sets one random cookie, one token request, profile
 * and addresses concurrently, on connections opened at the start. No PKCE, deadline, limit or policy: never ship this.
 *
 * @param {import('./base-app.mjs').Surroundings} surroundings
 */
export function createApp(surroundings) {
  const { provider, origin } = surroundings
  const upstream = createUpstream()
  const callbackURL = encodeURIComponent(`${origin}/auth/bitbucket/callback`)
  const authorization =
    `${provider.authorizationURL}?client_id=${CLIENT.clientID}&response_type=code` +
    `&scope=account%20email&redirect_uri=${callbackURL}&state=`
  const tokenURL = new URL(provider.tokenURL)
  const userURL = new URL(`${provider.apiURL}/user`)
  const emailsURL = new URL(`${provider.apiURL}/user/emails`)
  const basic = `Basic ${Buffer.from(`${CLIENT.clientID}:${CLIENT.clientSecret}`).toString('base64')}`

  return createBaseApp(surroundings, {
    ahead(app) {
      app.get('/auth/bitbucket', (_req, res) => {
        upstream.warm(tokenURL, 1)
        upstream.warm(userURL, 2)
        const state = randomState()
        res.setHeader('Set-Cookie', `state=${state}; Path=/; HttpOnly; SameSite=Lax; Max-Age=600`)
        res.statusCode = 302
        res.setHeader('Location', authorization + state)
        res.end()
      })
    },
    behind(app, _passport, users) {
      app.get('/auth/bitbucket/callback', async (req, res, next) => {
        try {
          const { code, state } = req.query
          if (!req.headers.cookie?.includes(`state=${state}`)) return res.redirect('/login')
          const body = `grant_type=authorization_code&code=${encodeURIComponent(code)}&redirect_uri=${callbackURL}`
          const { access_token } = await upstream.request('POST', tokenURL, basic, body)
          const bearer = `Bearer ${access_token}`
          const [person, page] = await Promise.all([
            upstream.request('GET', userURL, bearer),
            upstream.request('GET', emailsURL, bearer),
          ])
          const user = users.findOrCreate(person, page.values)
          req.logIn(user, (error) => {
            if (error) return next(error)
            res.setHeader('Set-Cookie', 'state=; Path=/; Max-Age=0')
            res.redirect('/')
          })
        } catch (error) {
          next(error)
        }
      })
    },
  })
}

const pool = Buffer.alloc(4096)
let used = pool.length

/** 128 random bits, from a pool: one call into the system for 256 of them. */
function randomState() {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += 16
  return pool.toString('base64url', used - 16, used)
}

/** Keep-alive requests on connections that may be opened in advance. */
function createUpstream() {
  const spares = new Map()
  const withSpares = (Agent) =>
    class extends Agent {
      createConnection(options, done) {
        const spare = spares.get(`${options.host}:${options.port}`)?.pop()
        return spare && !spare.destroyed ? spare : super.createConnection(options, done)
      }
      open(options) {
        return super.createConnection(options)
      }
    }
  const agents = {
    'http:': new (withSpares(http.Agent))({ keepAlive: true }),
    'https:': new (withSpares(https.Agent))({ keepAlive: true }),
  }
  return {
    warm(url, count) {
      const agent = agents[url.protocol]
      const key = `${url.hostname}:${url.port}`
      const waiting = (spares.get(key) ?? []).filter((socket) => !socket.destroyed)
      const free = Object.entries(agent.freeSockets).some(([name, sockets]) => name.startsWith(key) && sockets.length)
      if (waiting.length > 0 || free) return
      for (let opened = 0; opened < count; opened++) {
        const socket = agent.open({ host: url.hostname, port: Number(url.port), servername: '' })
        socket.on('error', () => {})
        waiting.push(socket)
      }
      spares.set(key, waiting)
    },
    request(method, url, authorization, body) {
      return new Promise((resolve, reject) => {
        const headers = { authorization }
        if (body) {
          headers['content-type'] = 'application/x-www-form-urlencoded'
          headers['content-length'] = Buffer.byteLength(body)
        }
        const request = (url.protocol === 'https:' ? https : http).request(url, {
          method,
          headers,
          agent: agents[url.protocol],
        })
        request.on('error', reject)
        request.on('response', (response) => {
          let text = ''
          response.setEncoding('utf8')
          response.on('data', (chunk) => {
            text += chunk
          })
          response.on('end', () => resolve(JSON.parse(text)))
        })
        request.end(body)
      })
    },
  }
}
