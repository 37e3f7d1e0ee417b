import { type Request, type Response, Router } from 'express'
import type { DoctorReport } from 'passport-bitbucket-signin'
import { type Settings, settingsSchema } from '../bitbucket/settings.js'
import { adminView } from '../views/admin.js'
import { sendPage } from '../views/layout.js'
import { requireAdmin, requireRecentSignIn } from './guards.js'
import type { Services } from './services.js'

/** Administration → Social connections → Bitbucket. Guarded by the role; every change is in the activity list. */
export function adminRoutes(services: Services): Router {
  const { settings, config, activity, bitbucket } = services
  const router = Router()
  router.use('/admin', requireAdmin(config))

  // A tenant that is gone must not end at `default`: what was meant for one site would change all of them.
  router.use('/admin/bitbucket', (req, _res, next) =>
    ['default', ...config.tenants].includes(levelOf(req)) ? next() : next('router'),
  )

  const show = async (
    req: Request,
    res: Response,
    extra: { problem?: string; report?: DoctorReport; typed?: Settings } = {},
  ) => {
    const level = levelOf(req)
    const [stored, above, callbackURLs, events] = await Promise.all([
      settings.level(level),
      level === 'default' ? settings.inherited : settings.effectiveDefault(),
      bitbucket.callbackURLs(),
      activity.latest(),
    ])
    const own = { ...stored, settings: extra.typed ?? stored.settings }
    const view = { level, own, above, callbackURLs, events, tenants: config.tenants, ...extra }
    sendPage(services, req, res, 'Bitbucket connection', adminView(view))
  }

  const note = (req: Request, type: string, level: string, what: string) =>
    activity.record(type, req.user?.id ?? null, `${req.user?.name}, Bitbucket, ${level}: ${what}`)

  router.get('/admin/bitbucket', (req, res) => show(req, res))

  router.post('/admin/bitbucket', requireRecentSignIn(bitbucket), async (req, res) => {
    const level = levelOf(req)
    const before = await settings.level(level)
    const next = readForm(req.body ?? {})
    const secret = String(req.body?.clientSecret ?? '')
    if (next.clientID !== undefined && next.clientID !== before.settings.clientID && secret === '') {
      const problem = 'A new client ID needs its secret: the two belong together.'
      return show(req, res.status(400), { problem, typed: next })
    }
    await settings.save(level, next, next.clientID === undefined ? null : secret === '' ? undefined : secret)
    const changed = changes(before.settings, next)
    if (secret !== '') changed.push('client secret replaced')
    note(req, 'connection_changed', level, changed.join('; ') || 'nothing')
    req.session.notice = 'Saved. It is in effect from the next request on.'
    res.redirect(303, `/admin/bitbucket?level=${level}`)
  })

  router.post('/admin/bitbucket/test', async (req, res) => {
    const connection = await settings.effective(levelOf(req))
    const report = await bitbucket.doctor(req.app, { connection })
    note(req, 'connection_tested', levelOf(req), report.ok ? 'in order' : 'problems were found')
    await show(req, res, { report })
  })

  return router
}

/** `default`, or a tenant. */
function levelOf(req: Request): string {
  return String(req.query.level ?? req.body?.level ?? 'default')
}

/** An empty choice or text means "inherit". Lists are inherited unless their own choice says `own`. */
function readForm(body: Record<string, unknown>): Settings {
  const choice = (name: string) => (body[name] === 'true' ? true : body[name] === 'false' ? false : undefined)
  const list = (name: string) =>
    body[`${name}Choice`] === 'own'
      ? [body[name] ?? '']
          .flat()
          .flatMap((each) => String(each).split(/[\s,]+/))
          .filter(Boolean)
      : undefined
  const read: Record<keyof Settings, unknown> = {
    enabled: choice('enabled'),
    trustedProvider: choice('trustedProvider'),
    signUp: choice('signUp'),
    visible: choice('visible'),
    clientID: String(body.clientID ?? '').trim() || undefined,
    applications: list('applications'),
    scope: list('scope'),
    workspaces: list('workspaces'),
  }
  // As it is stored: what is undefined is left out.
  return settingsSchema.parse(JSON.parse(JSON.stringify(read)))
}

/** What changed, in words. There is no secret among the settings. */
function changes(before: Settings, after: Settings): string[] {
  const names = Object.keys(settingsSchema.shape) as (keyof Settings)[]
  const say = (value: unknown) => (value === undefined ? 'inherited' : JSON.stringify(value))
  return names
    .filter((name) => say(before[name]) !== say(after[name]))
    .map((name) => `${name} ${say(before[name])}, now ${say(after[name])}`)
}
