import { randomUUID } from 'node:crypto'
import { type Request, type Response, Router } from 'express'
import { z } from 'zod'
import { boardView } from '../views/board.js'
import { sendPage } from '../views/layout.js'
import { isAdmin } from './guards.js'
import type { Services } from './services.js'

const note = z.object({ body: z.string().trim().min(1).max(500) })

/** The product itself: one board of notes per tenant. */
export function boardRoutes(services: Services): Router {
  const { db, config, bitbucket } = services
  const router = Router()
  const requireUser = bitbucket.requireSignedIn({ returnTo: () => '/' })
  const tenantOf = (req: Request) => req.place?.tenant ?? ''

  const showBoard = async (req: Request, res: Response) => {
    const notes = await db
      .selectFrom('notes')
      .innerJoin('users', 'users.id', 'notes.user_id')
      .select(['notes.id', 'notes.body', 'notes.created_at', 'notes.user_id', 'users.name'])
      .where('notes.tenant', '=', tenantOf(req))
      .orderBy('notes.created_at', 'desc')
      .limit(60)
      .execute()
    sendPage(
      services,
      req,
      res,
      'Board',
      boardView(notes, { user: req.user, offered: await bitbucket.offered(req), invites: isAdmin(req.user, config) }),
    )
  }

  router.get('/', showBoard)

  router.post('/notes', requireUser, async (req, res) => {
    const input = note.safeParse(req.body)
    if (input.success && req.user) {
      const row = { id: randomUUID(), tenant: tenantOf(req), user_id: req.user.id, body: input.data.body }
      await db
        .insertInto('notes')
        .values({ ...row, created_at: new Date().toISOString() })
        .execute()
    }
    res.redirect(303, '/')
  })

  router.post('/notes/:id/delete', requireUser, async (req, res) => {
    const note = db.deleteFrom('notes').where('id', '=', String(req.params.id)).where('tenant', '=', tenantOf(req))
    await (req.user?.tidies ? note : note.where('user_id', '=', req.user?.id ?? '')).execute()
    res.redirect(303, '/')
  })

  return router
}
