import { type Request, Router } from 'express'
import type { FakeBitbucket } from 'passport-bitbucket-signin/testing'
import { rememberInvitation } from '../accounts/invitations.js'
import { prepare, SCENARIOS } from '../demo/scenarios.js'
import { sendPage } from '../views/layout.js'
import { scenariosView } from '../views/scenarios.js'
import type { Services } from './services.js'
import { signOut } from './sign-in.js'

/** What the scenarios set the stage with. */
export interface Demo {
  readonly bitbucket: FakeBitbucket
  readonly resetLimits: () => void
  /** Removes one of our users from every workspace at the fake Bitbucket. */
  readonly leaveWorkspaces: (userId: string) => Promise<void>
  readonly setDown: (down: boolean) => void
  readonly isDown: () => boolean
}

/** The tour for newcomers. Exists only with the app's own fake Bitbucket. */
export function scenarioRoutes(services: Services, demo: Demo): Router {
  const { db, settings, activity } = services
  const router = Router()

  router.get('/scenarios', (req, res) => {
    const body = scenariosView(SCENARIOS, {
      tried: triedBy(req),
      hasMailbox: services.config.hasMailbox,
      down: demo.isDown(),
    })
    sendPage(services, req, res, 'Scenarios', body)
  })

  router.post('/scenarios/:id', async (req, res) => {
    const scenario = SCENARIOS.find(({ id }) => id === req.params.id)
    if (!scenario) return res.redirect(303, '/scenarios')
    const invitation = await prepare(scenario, db, settings, demo)
    demo.resetLimits()
    if (invitation !== null) rememberInvitation(res, invitation)
    activity.record('scenario', null, req.place?.tenant ?? null, scenario.title)
    // In a cookie: a scenario ends the session, and may end the account.
    const tried = [...new Set([...triedBy(req), scenario.id])].join('.')
    res.cookie('tried', tried, { httpOnly: true, sameSite: 'lax', maxAge: 30 * 24 * 60 * 60 * 1000 })
    // A user who is signed in would be asked to link or to switch; a scenario starts signed out.
    await signOut(services, req, res)
    res.redirect(303, `/auth/bitbucket?returnTo=${scenario.to ?? '/account'}`)
  })

  return router
}

function triedBy(req: Request): readonly string[] {
  return /(?:^|; )tried=([a-z.-]+)/.exec(req.headers.cookie ?? '')?.[1]?.split('.') ?? []
}
