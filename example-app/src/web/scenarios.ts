import { Router } from 'express'
import type { FakeBitbucket } from 'passport-bitbucket-signin/testing'
import { prepare, SCENARIOS } from '../demo/scenarios.js'
import { sendPage } from '../views/layout.js'
import { scenariosView } from '../views/scenarios.js'
import type { Services } from './services.js'
import { signOut } from './sign-in.js'

/** The tour for newcomers. Exists only beside the app's own fake Bitbucket. */
export function scenarioRoutes(services: Services, fake: FakeBitbucket): Router {
  const { db, settings, activity } = services
  const router = Router()

  router.get('/scenarios', (req, res) => sendPage(services, req, res, 'Scenarios', scenariosView(SCENARIOS)))

  router.post('/scenarios/:id', async (req, res) => {
    const scenario = SCENARIOS.find(({ id }) => id === req.params.id)
    if (!scenario) return res.redirect(303, '/scenarios')
    await prepare(scenario, db, settings, fake)
    activity.record('scenario', null, scenario.title)
    // Who is signed in would be asked to link or to switch; a scenario starts with nobody.
    await signOut(services, req, res)
    res.redirect(303, '/auth/bitbucket?returnTo=/account')
  })

  return router
}
