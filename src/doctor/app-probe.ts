import { randomBytes } from 'node:crypto'
import type { Request } from 'express'
import { setCookiesOf, type UpstreamAnswer } from '../bitbucket/transport-parts'
import { openSite, type ProbeParts, type Site } from './probe-site'
import { exercise, MARK, probed, type SessionTrial, sessionOf, settled, watchPassport } from './session-trial'
import { connectionSeen, type RequestSighting, sightingOf } from './sighting'

/** Everything that was observed of an app. */
export interface AppSighting {
  /** The response to the first request. */
  readonly answer: { readonly status: number; readonly location: string | null } | { readonly fault: string }
  /** `null` = the router was not reached. */
  readonly first: RequestSighting | null
  /** Where it was reached instead: the path without its prefix, as a proxy that strips it would leave it. */
  readonly elsewhere: string | null
  /** How a request to the path of the callback ended; `null` = it could not be tried. */
  readonly callback: 'reached' | { readonly path: string; readonly answer: string } | null
  /** Whether a visitor who did nothing got a session cookie. */
  readonly storesUnasked: boolean
  readonly trial: SessionTrial | null
  /** `null` = it could not be tried. */
  readonly cameBack: boolean | null
  /** Whether `passport.session()` ran before the router; `null` = it could not be seen. */
  readonly passportReads: boolean | null
}

/**
 * Sends a few requests through the whole app on a loopback port, as a proxy would forward them, and reports what the
 * app has done to each by the time it reaches the router. Leaves no session, connection or listener behind.
 */
export async function probeApp(parts: ProbeParts): Promise<AppSighting> {
  const marker = `doctor-${randomBytes(16).toString('hex')}`
  const site = await openSite(parts)
  const watch = watchPassport(parts.passport)
  try {
    const { first, answer, passportRan } = await lookAround(site, parts, watch.ran)
    if ('fault' in answer) return { ...NOTHING, answer }
    const seen = {
      ...NOTHING,
      first: first ?? null,
      answer: { status: answer.status, location: answer.headers.location ?? null },
      elsewhere: first || answer.status !== 404 ? null : await findElsewhere(site, parts.mount),
      callback: first ? await tryCallback(site, parts.callbackPath) : null,
      storesUnasked: first?.id !== null && first?.id !== undefined && cookieFor(first.id, answer) !== undefined,
      passportReads: passportRan,
    }
    if (first?.session !== 'usable') return seen
    return { ...seen, ...(await trySession(site, marker)) }
  } finally {
    watch.end()
    await site.close()
  }
}

const NOTHING = {
  first: null,
  elsewhere: null,
  callback: null,
  storesUnasked: false,
  trial: null,
  cameBack: null,
  passportReads: null,
} as const

/** Whether Bitbucket's redirect would reach the router: the path of the callback need not be inside the mount. */
async function tryCallback(site: Site, path: string | null): Promise<AppSighting['callback']> {
  if (path === null) return null
  let reached = false
  const answer = await site.ask(
    async () => {
      reached = true
      return 'answered'
    },
    { callback: path },
  )
  return reached ? 'reached' : { path, answer: 'fault' in answer ? answer.fault : `status ${answer.status}` }
}

/** The first request changes nothing. Without a session it continues, to see whether one is mounted too late. */
async function lookAround(
  site: Site,
  { source, passport }: ProbeParts,
  passportRanFor: (req: Request) => boolean | null,
) {
  const seen: { first?: RequestSighting & { id: string | null }; passportRan: boolean | null } = { passportRan: null }
  const answer = await site.ask(async (req, res) => {
    const first = { ...sightingOf(req, passport), connection: await connectionSeen(source, req) }
    seen.first = first
    seen.passportRan = passportRanFor(req)
    if (first.session !== 'missing') return 'answered'
    res.once('finish', () => {
      if (sessionOf(req)) seen.first = { ...first, session: 'mounted-later' }
    })
    return 'pass on'
  })
  return { first: seen.first, passportRan: seen.passportRan, answer }
}

/** Strips the beginning of the path, one more segment at a time. */
async function findElsewhere(site: Site, mount: string): Promise<string | null> {
  for (let at = mount; at !== ''; ) {
    at = at.replace(/^\/[^/]*/, '')
    let reached = false
    await site.ask(
      async () => {
        reached = true
        return 'answered'
      },
      { at },
    )
    if (reached) return at
  }
  return null
}

/** Saves and rotates a session, looks for it at the next request, and deletes it. */
async function trySession(site: Site, marker: string): Promise<Pick<AppSighting, 'trial' | 'cameBack'>> {
  const seen: { trial: SessionTrial; id?: string; remove?: () => Promise<void> } = { trial: UNANSWERED }
  const answer = await site.ask(async (req) => {
    const { sessionStore } = probed(req)
    seen.trial = await exercise(req, marker)
    const id = sessionOf(req)?.id
    if (id === undefined) return 'answered'
    seen.id = id
    seen.remove = () => settled((done) => (sessionStore?.destroy ? sessionStore.destroy(id, done) : done()))
    return 'answered'
  })
  const cookie = seen.id === undefined || 'fault' in answer ? undefined : cookieFor(seen.id, answer)
  const cameBack = cookie === undefined || seen.trial.fault !== null ? null : await comeBack(site, marker, cookie)
  await seen.remove?.().catch(() => undefined)
  return { trial: seen.trial, cameBack }
}

const UNANSWERED: SessionTrial = {
  fault: 'The app did not answer.',
  rotates: false,
  oldIsGone: false,
  passportRotates: null,
}

async function comeBack(site: Site, marker: string, cookie: string): Promise<boolean> {
  let found = false
  await site.ask(
    async (req) => {
      found = sessionOf(req)?.[MARK] === marker
      return 'answered'
    },
    { cookie },
  )
  return found
}

/** The session cookie of the response, as a browser would send it back. */
function cookieFor(id: string, answer: UpstreamAnswer): string | undefined {
  const pairs = setCookiesOf(answer).map((line) => line.split(';', 1)[0] ?? '')
  return pairs.find((pair) => pair.includes(encodeURIComponent(id)))
}
