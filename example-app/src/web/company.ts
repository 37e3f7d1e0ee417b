import { Router } from 'express'
import type { User } from '../accounts/users.js'
import { companyOffView, companyView } from '../views/company.js'
import { sendPage } from '../views/layout.js'
import type { Demo } from './scenarios.js'
import type { Services } from './services.js'
import { ownPage } from './sign-in.js'

/** A page for members of the workspace, who stay members for as long as Bitbucket says so. */
export function companyRoutes(services: Services, demo: Demo | null): Router {
  const { db, settings, bitbucket, config } = services
  const router = Router()
  const requireUser = bitbucket.requireSignedIn()

  // Without workspaces there is no membership to ask for.
  router.get('/company', requireUser, async (req, res, next) => {
    const { workspaces = [] } = await settings.effective(req.place?.tenant ?? 'default')
    if (workspaces.length > 0) return next()
    sendPage(services, req, res, 'Company', companyOffView())
  })

  router.get('/company', bitbucket.requireMembership(config.membership), async (req, res) => {
    const members = await db
      .selectFrom('users')
      .select(['name', 'role'])
      .where('role', 'is not', null)
      .orderBy('name')
      .limit(100)
      .execute()
    const user = req.user as User
    const controls = demo && { down: demo.isDown(), seconds: config.membership.maxAgeMs / 1000 }
    sendPage(services, req, res, 'Company', companyView({ user, members, demo: controls }))
  })

  // What happens at Bitbucket, for the demo: the user leaves the workspace, Bitbucket goes down and comes back.
  if (demo) {
    router.post('/company/demo', async (req, res) => {
      const { action } = req.body ?? {}
      if (action === 'leave') await demo.leaveWorkspaces(req.user?.id ?? '')
      if (action === 'down' || action === 'up') demo.setDown(action === 'down')
      res.redirect(303, ownPage(req.body?.returnTo))
    })
  }

  return router
}
