import { type Request, type RequestHandler, type Response, Router } from 'express'
import { domainsOf } from '../bitbucket/places.js'
import { type Settings, settingsSchema } from '../bitbucket/settings.js'
import { checkForm, type Form, formOf, readForm } from '../bitbucket/settings-form.js'
import { activityView } from '../views/activity.js'
import { type AdminView, adminView } from '../views/admin.js'
import { addConnectionView, connectionsView } from '../views/connections.js'
import { sendPage } from '../views/layout.js'
import { requireAdmin, requireRecentSignIn } from './guards.js'
import type { Services } from './services.js'

/** Administration › Social connections. Guarded by the role; every change is in the activity list. */
export function adminRoutes(services: Services): Router {
  const { settings, config, activity, bitbucket, sealer } = services
  const router = Router()
  const levels = ['default', ...config.tenants]
  router.use('/admin', requireAdmin(config, bitbucket))

  router.get('/admin', (_req, res) => res.redirect('/admin/connections'))

  router.get('/admin/connections', async (req, res) => {
    const view = { levels: await Promise.all(levels.map(summary)), people: await settings.people() }
    sendPage(services, req, res, 'Social connections', connectionsView(view))
  })

  router.get('/admin/connections/add', async (req, res) => {
    const view = { bitbucket: await summary('default') }
    sendPage(services, req, res, 'Add connection', addConnectionView(view))
  })

  router.get('/admin/activity', async (req, res) => {
    const tenant = levels.find((each) => each === req.query.tenant && each !== 'default') ?? null
    const page = Math.max(1, Math.trunc(Number(req.query.page)) || 1)
    const view = { ...(await activity.page(tenant, page)), page, tenant, tenants: config.tenants }
    sendPage(services, req, res, 'Activity', activityView(view))
  })

  const summary = async (level: string) => {
    const [{ settings: own }, status, { applications = [] }] = await Promise.all([
      settings.level(level),
      settings.status(level),
      settings.effective(level),
    ])
    const ownSettings = Object.keys(own).length
    return { level, status, applications, ownSettings, ownClient: own.clientID !== undefined }
  }

  // A tenant that is gone must not end at `default`: what was meant for one site would change all of them.
  router.use('/admin/bitbucket', (req, _res, next) => (levels.includes(levelOf(req)) ? next() : next('router')))

  const load = async (level: string) => {
    const [stored, above] = await Promise.all([
      settings.level(level),
      level === 'default' ? settings.inherited : settings.effectiveDefault(),
    ])
    return { stored, above, domains: domainsOf(level === 'default' ? null : level, config) }
  }

  const show = async (req: Request, res: Response, extra: Partial<AdminView> = {}) => {
    const level = levelOf(req)
    const draft = draftOf(req, level)
    const place = await load(level)
    const [status, connection, { events }] = await Promise.all([
      settings.status(level),
      settings.effective(level),
      activity.page(level === 'default' ? null : level, 1),
    ])
    const view: AdminView = {
      ...{ level, ...place, status, tenants: config.tenants, events: events.slice(0, 5) },
      callbackURL: connection.callbackURL,
      form: draft?.form ?? formOf(place.stored.settings, place.above),
      problems: draft ? checkForm(draft.form, secretOf(draft), place).problems : [],
      draft: draft ? { hasSecret: draft.secret !== null } : null,
      ...extra,
    }
    sendPage(services, req, res, 'Bitbucket connection', adminView(view))
  }

  const note = (req: Request, type: string, level: string, what: string) =>
    activity.record(type, req.user?.id ?? null, level === 'default' ? null : level, what)

  /** What was entered waits in the session until it is saved: past a refusal, and past a new sign-in. */
  const keepDraft: RequestHandler = (req, _res, next) => {
    const level = levelOf(req)
    const typed = String(req.body?.clientSecret ?? '').trim()
    const secret = typed === '' ? (draftOf(req, level)?.secret ?? null) : sealer.seal('client-secret', typed)
    req.session.connectionDraft = { userId: req.user?.id ?? '', level, form: readForm(req.body), secret }
    next()
  }
  const secretOf = (draft: ConnectionDraft) =>
    draft.secret === null ? '' : (sealer.open('client-secret', draft.secret) ?? '')

  router.get('/admin/bitbucket', (req, res) => show(req, res))

  router.post('/admin/bitbucket', keepDraft, requireRecentSignIn(bitbucket), async (req, res) => {
    const level = levelOf(req)
    const draft = draftOf(req, level)
    if (!draft) return res.redirect(303, '/admin/bitbucket')
    const place = await load(level)
    const { settings: next, secret, problems } = checkForm(draft.form, secretOf(draft), place)
    if (problems.length > 0) return show(req, res.status(400))
    await settings.save(level, next, secret)
    delete req.session.connectionDraft
    note(req, 'connection_changed', level, changes(place.stored.settings, next, secret))
    if (req.body?.then === 'test') return test(req, res)
    req.session.notice = { text: 'Saved. Changes take effect immediately.' }
    res.redirect(303, `/admin/bitbucket?level=${level}`)
  })

  router.post('/admin/bitbucket/discard', (req, res) => {
    delete req.session.connectionDraft
    res.redirect(303, `/admin/bitbucket?level=${levelOf(req)}`)
  })

  router.post('/admin/bitbucket/reset', requireRecentSignIn(bitbucket), async (req, res) => {
    const level = levelOf(req)
    const before = (await settings.level(level)).settings
    await settings.save(level, {}, null)
    delete req.session.connectionDraft
    note(req, 'connection_changed', level, changes(before, {}, null))
    req.session.notice = { text: 'Reset. Everything is inherited again.' }
    res.redirect(303, `/admin/bitbucket?level=${level}`)
  })

  const test = async (req: Request, res: Response) => {
    const level = levelOf(req)
    const report = await bitbucket.doctor(req.app, { connection: await settings.effective(level) })
    note(req, 'connection_tested', level, report.ok ? 'no problems' : 'problems found')
    await show(req, res, { report })
  }
  router.post('/admin/bitbucket/test', test)

  return router
}

/** What an administrator entered and has not saved. */
export interface ConnectionDraft {
  readonly userId: string
  readonly level: string
  readonly form: Form
  /** Sealed. */
  readonly secret: string | null
}

/** A session can change hands; a draft stays with its author. */
function draftOf(req: Request, level: string): ConnectionDraft | null {
  const draft = req.session.connectionDraft
  return draft?.userId === req.user?.id && draft?.level === level ? (draft ?? null) : null
}

/** `default`, or a tenant. */
function levelOf(req: Request): string {
  return String(req.query.level ?? req.body?.level ?? req.session.connectionDraft?.level ?? 'default')
}

/** Describes what changed. The settings contain no secret. */
function changes(before: Settings, after: Settings, secret: string | null | undefined): string {
  const names = Object.keys(settingsSchema.shape) as (keyof Settings)[]
  const say = (value: unknown) => (value === undefined ? 'inherited' : JSON.stringify(value))
  const changed = names
    .filter((name) => say(before[name]) !== say(after[name]))
    .map((name) => `${name} ${say(before[name])}, now ${say(after[name])}`)
  if (typeof secret === 'string') changed.push('client secret replaced')
  return changed.join('; ') || 'saved without changes'
}
