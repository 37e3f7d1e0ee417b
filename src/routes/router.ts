import type { Request, RequestHandler, Router } from 'express'

import express = require('express')

import { once } from '../contract/once'
import { callback } from './callback'
import { goesOnElsewhere, handOver, openCallback } from './central-callback'
import type { Visit } from './context'
import { handler } from './handler'
import { navigationOnly } from './navigation-only'
import type { Services } from './services'
import { startSignIn } from './start'
import { warnOfPlace } from './start-place'

/** The routes, relative to the mount. `hasBasePath`: the app has declared that paths differ. */
export function createRouter<User>(services: Services<User>, hasBasePath: boolean): Router {
  // A tenant can be a parameter of the mount path.
  const router = express.Router({ mergeParams: true })
  const start = navigationOnly(startHandler(services, hasBasePath))
  const end = navigationOnly(handler(services, endCallback, openCallback))
  answerDirectly(router, { '/': start, '/callback': end })
  router.get('/', start)
  router.all('/callback', end)
  // Loaded on use: known users see none of our pages.
  const pages = once(() => (require('./page-routes') as typeof import('./page-routes')).createPageRoutes(services))
  router.use((req, res, next) => pages()(req, res, next))
  return router
}

/**
 * Answers `GET`s of these paths before the router walks its table. Every other request, also another spelling of the same
 * path, goes through the table. It saves 6 % CPU per start (plain mount, sessions in memory).
 */
function answerDirectly(router: Router, routes: Readonly<Record<string, RequestHandler>>): void {
  const table = new Map(Object.entries(routes))
  const walk = router as Router & { handle: RequestHandler }
  const { handle } = walk
  walk.handle = (req, res, next) => {
    const direct = req.method === 'GET' ? table.get(pathOf(req)) : undefined
    return direct ? direct(req, res, next) : handle.call(walk, req, res, next)
  }
}

function pathOf({ url }: Request): string {
  const end = url.indexOf('?')
  return end === -1 ? url : url.slice(0, end)
}

/** Starts a sign-in, in the router or mounted alone. `anyPath`: its mount path is not checked. */
export function startHandler<User>(services: Services<User>, anyPath: boolean): RequestHandler {
  return handler(services, (visit) => {
    warnOfPlace(visit, anyPath)
    return startSignIn(visit)
  })
}

/** Handles a callback here, or redirects it to the origin where the sign-in started. */
const endCallback = <User>(visit: Visit<User>) => (goesOnElsewhere(visit) ? handOver(visit) : callback(visit))
