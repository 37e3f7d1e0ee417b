import { Router } from 'express'
import type { Services } from './services.js'

/** For the load balancer: is the process alive, and should it get requests? */
export function healthRoutes({ db, isOpen }: Services): Router {
  const router = Router()

  router.get('/healthz', (_req, res) => void res.json({ ok: true }))

  router.get('/readyz', async (_req, res) => {
    const answers = db.selectFrom('connections').select('level').limit(1).execute()
    const ok =
      isOpen() &&
      (await answers.then(
        () => true,
        () => false,
      ))
    res.status(ok ? 200 : 503).json({ ok })
  })

  return router
}
