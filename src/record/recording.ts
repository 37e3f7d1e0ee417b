import { createHash, randomBytes } from 'node:crypto'
import type { Addresses, Arrival, Observations, ReplyId } from './observations'
import { getResource, type Reply, requestToken, seenCallback, type Target } from './observe'
import { VISITS, type Visit, type VisitId } from './visits'

/** How long a client may stay locked out after a dead refresh token. */
const LOCKOUT_MS = 5 * 60_000
const FORMER_API = 'https://bitbucket.org/api/2.0'

/** Secrets, kept in memory while the recorder runs and never written. */
interface Held {
  token?: string
  firstRefresh?: string
  lastRefresh?: string
  otherRefresh?: string
  code?: { readonly value: string; readonly verifier: string; readonly at: number }
  rotatedAt?: number
  lockedAt?: number
}

/** A visit in progress. */
interface Started {
  readonly visit: Visit
  readonly state: string
  readonly verifier: string
  readonly redirectUri: string | null
}

/** One run of the recorder: visits in order, and the requests that follow from each. */
export class Recording {
  readonly target: Target
  readonly #now: () => number
  readonly #held: Held = {}
  #seen: Observations = { visits: {}, replies: {} }
  #next = 0
  #started: Started | undefined

  constructor(target: Target, now: () => number = Date.now) {
    this.target = target
    this.#now = now
  }

  get observations(): Observations {
    return this.#seen
  }

  /** The next visit; `undefined` after the last. */
  get visit(): Visit | undefined {
    return VISITS[this.#next]
  }

  get position(): number {
    return this.#next + 1
  }

  /** When enough time has passed for what {@link afterWaiting} tries, in milliseconds since the epoch. */
  readyAt(waitMs: number): number {
    const { lockedAt, rotatedAt = 0, code } = this.#held
    return lockedAt === undefined ? Math.max(rotatedAt, code?.at ?? 0) + waitMs : lockedAt + LOCKOUT_MS
  }

  /** Begins the next visit and returns where to send the browser. */
  start(): string {
    const visit = this.visit
    if (!visit) throw new Error('All visits are over.')
    const { authorizationURL, clientID, callbackURL } = this.target
    const state = randomBytes(24).toString('base64url')
    const verifier = randomBytes(32).toString('base64url')
    const parameters: Record<string, string | null> = {
      response_type: 'code',
      client_id: clientID,
      redirect_uri: callbackURL,
      state,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...visit.change?.(callbackURL),
    }
    this.#started = { visit, state, verifier, redirectUri: parameters.redirect_uri ?? null }
    const url = new URL(authorizationURL)
    for (const [name, value] of Object.entries(parameters)) if (value !== null) url.searchParams.set(name, value)
    return url.href
  }

  /** Handles a callback; `false` if it does not belong to the visit in progress. */
  async arrive(query: URLSearchParams): Promise<boolean> {
    const started = this.#started
    if (!started) return false
    const seen = seenCallback(query, started.state)
    // An error may come without a state: that is one of the questions.
    if (seen.state !== 'same' && !(seen.state === 'missing' && query.has('error'))) return false
    this.#started = undefined
    this.#note(started.visit.id, seen)
    const code = query.get('code')
    if (code !== null) await this.#useCode(started, code)
    // Nothing can be tried without consent: this visit repeats until the operator allows or skips it.
    if (started.visit.id !== 'consent' || code !== null) this.#next += 1
    return true
  }

  /** The operator saw an error page, or skips the visit. */
  give(page: 'error' | 'skipped'): void {
    const visit = this.visit
    if (!visit) return
    this.#started = undefined
    this.#note(visit.id, { page })
    this.#next += 1
  }

  /**
   * Tries what needs time: the held code, the old refresh token, and its family. `false` = a dead token made the server
   * refuse every token of the client, so the family has to be tried again later.
   */
  async afterWaiting(): Promise<boolean> {
    const { lockedAt, firstRefresh, code, rotatedAt } = this.#held
    if (code && lockedAt === undefined) {
      this.#seen = { ...this.#seen, codeHeldSeconds: this.#secondsSince(code.at) }
      await this.#exchange('heldCode', code.value, { verifier: code.verifier })
    }
    if (firstRefresh === undefined || rotatedAt === undefined) return true
    if (lockedAt === undefined) {
      this.#seen = { ...this.#seen, refreshHeldSeconds: this.#secondsSince(rotatedAt) }
      await this.#refresh('oldRefreshToken', firstRefresh)
    }
    const isLocked = await this.#tryFamily()
    this.#held.lockedAt = this.#now()
    return !isLocked || lockedAt !== undefined
  }

  /** Tries a token of the same consent and one of another; `true` = both are refused. */
  async #tryFamily(): Promise<boolean> {
    const { lastRefresh, otherRefresh } = this.#held
    if (lastRefresh === undefined || otherRefresh === undefined) return false
    // The other one first: a sibling that was revoked would lock the client out again.
    const other = await this.#refresh('otherRefreshToken', otherRefresh)
    const sibling = await this.#refresh('siblingRefreshToken', lastRefresh)
    return sibling.seen.status !== 200 && other.seen.status !== 200
  }

  /** The last requests, which may revoke the tokens or lock the client out. */
  async finish(): Promise<void> {
    await this.#tryUnknownRefreshToken()
    const form = { grant_type: 'authorization_code', code: 'none', redirect_uri: this.target.callbackURL }
    this.#keep('wrongClient', await requestToken(this.target, form, 'wrong-secret'))
    const { token } = this.#held
    if (token === undefined) return
    const revokeURL = this.target.tokenURL.replace(/[^/]*$/, 'revoke')
    this.#keep('revoke', await requestToken(this.target, { token }, 'basic', revokeURL))
    this.#keep('userAfterRevoke', await getResource(this.target, '/user', token))
  }

  /** At the very end: it may make the server refuse everything of this client for a while. */
  async #tryUnknownRefreshToken(): Promise<void> {
    const { lastRefresh, otherRefresh = lastRefresh } = this.#held
    if (otherRefresh === undefined) return
    await this.#refresh('unknownRefreshToken', randomBytes(otherRefresh.length).toString('base64url').slice(0, 600))
    await this.#refresh('refreshAfterUnknown', otherRefresh)
  }

  async #useCode({ visit, verifier, redirectUri }: Started, code: string): Promise<void> {
    switch (visit.id) {
      case 'consent':
        return this.#useConsent(code, verifier)
      case 'wrong-verifier':
        return this.#tryVerifiers(code, verifier)
      case 'account-alone': {
        const { json } = await this.#exchange('accountAlone', code, { verifier })
        const token = textOf(json.access_token)
        if (token !== undefined) {
          this.#keep('emailsWithAccountAlone', await getResource(this.target, '/user/emails', token))
        }
        return
      }
      case 'body-credentials': {
        const form = this.#codeForm(code, verifier, redirectUri)
        return this.#keep('bodyCredentials', await requestToken(this.target, form, 'body'))
      }
      case 'no-redirect-uri':
        await this.#exchange('noRedirectUri', code, { verifier, redirectUri })
        return
      case 'held-code':
        this.#held.code = { value: code, verifier, at: this.#now() }
    }
  }

  async #useConsent(code: string, verifier: string): Promise<void> {
    const { json } = await this.#exchange('exchange', code, { verifier })
    const token = textOf(json.access_token)
    if (token === undefined) return
    this.#held.token = token
    const refreshToken = textOf(json.refresh_token)
    this.#seen = {
      ...this.#seen,
      tokenLengths: { access: token.length, refresh: refreshToken?.length ?? 0 },
      scopeFields: ['scope', 'scopes', 'state'].filter((name) => name in json),
      ...(typeof json.expires_in === 'number' && { expiresIn: json.expires_in }),
    }
    await this.#readProfile(token)
    if (refreshToken !== undefined) await this.#rotate(refreshToken)
  }

  async #readProfile(token: string): Promise<void> {
    this.#keep('user', await getResource(this.target, '/user', token))
    const emails = await getResource(this.target, '/user/emails', token)
    this.#keep('emails', emails)
    this.#seen = { ...this.#seen, ...(Array.isArray(emails.json.values) && { addresses: flagsOf(emails.json.values) }) }
    this.#keep('lowerCaseBearer', await getResource(this.target, '/user', token, 'bearer'))
    this.#keep('badToken', await getResource(this.target, '/user', 'not-a-token'))
    // A token of another server must not reach Bitbucket.
    if (new URL(this.target.apiURL).origin === 'https://api.bitbucket.org') {
      this.#keep('formerApiHost', await getResource({ ...this.target, apiURL: FORMER_API }, '/user', token))
    }
  }

  async #rotate(refreshToken: string): Promise<void> {
    this.#held.firstRefresh = refreshToken
    const rotated = await this.#refresh('refresh', refreshToken)
    this.#held.rotatedAt = this.#now()
    this.#held.lastRefresh = textOf(rotated.json.refresh_token) ?? refreshToken
    await this.#refresh('refreshAgain', refreshToken)
  }

  async #tryVerifiers(code: string, verifier: string): Promise<void> {
    const wrong = await this.#exchange('wrongVerifier', code, { verifier: randomBytes(32).toString('base64url') })
    const { json } = wrong.seen.status === 200 ? wrong : await this.#exchange('rightVerifier', code, { verifier })
    const other = textOf(json.refresh_token)
    if (other !== undefined) this.#held.otherRefresh = other
    await this.#exchange('usedCode', code, { verifier })
    const token = textOf(json.access_token)
    if (token !== undefined) this.#keep('userAfterReuse', await getResource(this.target, '/user', token))
  }

  async #exchange(
    id: ReplyId,
    code: string,
    { verifier, redirectUri = this.target.callbackURL }: { verifier: string; redirectUri?: string | null },
  ): Promise<Reply> {
    const reply = await requestToken(this.target, this.#codeForm(code, verifier, redirectUri))
    this.#keep(id, reply)
    return reply
  }

  async #refresh(id: ReplyId, refreshToken: string): Promise<Reply> {
    const reply = await requestToken(this.target, { grant_type: 'refresh_token', refresh_token: refreshToken })
    this.#keep(id, reply)
    return reply
  }

  #codeForm(code: string, verifier: string, redirectUri: string | null): Record<string, string> {
    return {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      ...(redirectUri !== null && { redirect_uri: redirectUri }),
    }
  }

  #keep(id: ReplyId, { seen }: Reply): void {
    this.#seen = { ...this.#seen, replies: { ...this.#seen.replies, [id]: seen } }
  }

  #note(id: VisitId, arrival: Arrival): void {
    const { visits } = this.#seen
    this.#seen = { ...this.#seen, visits: { ...visits, [id]: [...(visits[id] ?? []), arrival] } }
  }

  #secondsSince(time: number): number {
    return Math.round((this.#now() - time) / 1000)
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function flagsOf(values: readonly unknown[]): Addresses {
  const all = values.filter((each): each is Record<string, unknown> => typeof each === 'object' && each !== null)
  const primary = all.filter((each) => each.is_primary === true)
  return {
    count: all.length,
    primary: primary.length,
    confirmed: all.filter((each) => each.is_confirmed === true).length,
    unconfirmedPrimary: primary.filter((each) => each.is_confirmed !== true).length,
  }
}
