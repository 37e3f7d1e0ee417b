import type { RequestHandler } from 'express'
import type { BitbucketSignIn } from 'passport-bitbucket-signin'
import { signedInAt } from '../accounts/signed-in-at.js'
import type { User } from '../accounts/users.js'
import { everyDomain, placeOf } from '../bitbucket/places.js'
import type { Config } from '../config.js'

/** Puts tenant and application on the request, and brings people who came by another host name to ours. */
export function findPlace(config: Config): RequestHandler {
  return (req, res, next) => {
    const place = placeOf(req, config)
    if (place) {
      req.place = place
      return next()
    }
    if (req.method === 'GET' && req.accepts('html')) return res.redirect(config.baseURL.origin)
    res.status(421).json({ error: 'unknown_host' })
  }
}

/**
 * Refuses what another site makes a browser post here. Browsers say where a request comes from; a client that says
 * nothing has to send `Origin` itself. (The router of `passport-bitbucket-signin` guards its own routes.)
 */
export function sameOrigin(config: Config): RequestHandler {
  const ours = new Set(everyDomain(config))
  return (req, res, next) => {
    if (req.method === 'GET' || req.method === 'HEAD') return next()
    const site = req.get('sec-fetch-site')
    const origin = req.get('origin') ?? ''
    const same = site === undefined ? ours.has(origin) && new URL(origin).host === req.host : site === 'same-origin'
    if (same) return next()
    res.status(403).type('text').send('This form was sent from another site. Open the page again and retry.')
  }
}

/**
 * Requires a sign-in of the last ten minutes, against a thief with an unlocked laptop. Users with a password are asked
 * for it, all others confirm with Bitbucket. A form that must survive this is kept by its own route.
 */
export function requireRecentSignIn(bitbucket: BitbucketSignIn): RequestHandler {
  const askBitbucket = bitbucket.requireRecentSignIn()
  return (req, res, next) => {
    const recent = Date.now() - (signedInAt(req)?.getTime() ?? 0) < 10 * 60_000
    if (recent) return next()
    if (req.method === 'GET' && !req.user?.hasPassword) return askBitbucket(req, res, next)
    const way = req.user?.hasPassword ? '/sign-in' : '/auth/bitbucket/reauthenticate'
    res.redirect(303, `${way}?returnTo=${req.path.startsWith('/admin/') ? '/admin/bitbucket' : '/account'}`)
  }
}

/** The role follows a *verified* address: claiming the administrator's address grants nothing. */
export function isAdmin(user: User | undefined, config: Config): boolean {
  if (!user?.email || config.adminEmail === undefined) return false
  return user.emailVerified && user.email.toLowerCase() === config.adminEmail
}

export function requireAdmin(config: Config, bitbucket: BitbucketSignIn): RequestHandler {
  const requireUser = bitbucket.requireSignedIn()
  return (req, res, next) => {
    if (!req.user) return requireUser(req, res, next)
    if (isAdmin(req.user, config)) return next()
    next('router')
  }
}
