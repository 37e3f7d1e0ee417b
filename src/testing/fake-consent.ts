import { type Answer, type FakeRequest, htmlAnswer, redirectAnswer } from './answer'
import { type AuthorizeCheck, type AuthorizeRequest, allow, checkAuthorize, deny } from './authorize'
import type { FakeClient } from './clients'
import { consentPage, PAGE_HEADERS, refusalPage } from './fake-pages'
import type { FakePerson } from './people'
import type { World } from './world'

/** `GET /site/oauth2/authorize`: the consent page, or straight back. */
export function showConsent(request: FakeRequest, world: World): Answer {
  const check = checkAuthorize(request.query, world)
  if (check.outcome !== 'ask') return answerCheck(check)
  const person = signedInPerson(request, world)
  if (person && !request.query.has('prompt') && hasConsented(person, check.request, world)) {
    return redirectAnswer(302, allow(check.request, person, world))
  }
  return htmlAnswer(200, consentPage(check.request, world.people.all, person), PAGE_HEADERS)
}

/** `POST /site/oauth2/authorize`: the answer of the consent page. */
export function takeDecision(request: FakeRequest, world: World): Answer {
  const check = checkAuthorize(request.query, world)
  if (check.outcome !== 'ask') return answerCheck(check)
  const decision = request.form.get('decision')
  if (decision === 'deny') return redirectAnswer(302, deny(check.request))
  const person = world.people.find(request.form.get('person') ?? '')
  if (decision !== 'allow' || !person) {
    return refusal('Nothing was chosen', 'Go back, choose a person and press Allow or Deny.')
  }
  const location = allow(check.request, person, world)
  if (!world.behaviour.rememberConsent) return redirectAnswer(302, location)
  world.consents.set(consentKey(person, check.request.client), check.request.scopes)
  return redirectAnswer(302, location, { 'set-cookie': personCookie(person.key) })
}

const COOKIE = 'fake_bitbucket_person'

/** The cookie that remembers who is signed in to the fake in this browser; an empty key signs out. */
export function personCookie(key: string): string {
  const age = key === '' ? '; Max-Age=0' : ''
  return `${COOKIE}=${encodeURIComponent(key)}; Path=/; HttpOnly; SameSite=Lax${age}`
}

/** Who is signed in to the fake in this browser; nobody unless consent is remembered. */
export function signedInPerson(request: FakeRequest, world: World): FakePerson | undefined {
  if (!world.behaviour.rememberConsent) return undefined
  const cookies = new URLSearchParams(String(request.headers.cookie ?? '').replaceAll(/;\s*/g, '&'))
  return world.people.find(cookies.get(COOKIE) ?? '')
}

function answerCheck(check: Exclude<AuthorizeCheck, { outcome: 'ask' }>): Answer {
  return check.outcome === 'redirect' ? redirectAnswer(302, check.location) : refusal(check.title, check.reason)
}

function refusal(title: string, reason: string): Answer {
  return htmlAnswer(400, refusalPage(title, reason), PAGE_HEADERS)
}

function hasConsented(person: FakePerson, { client, scopes }: AuthorizeRequest, world: World): boolean {
  const before = world.consents.get(consentKey(person, client))
  return before !== undefined && scopes.every((scope) => before.includes(scope))
}

function consentKey(person: FakePerson, client: FakeClient): string {
  return `${person.key} ${client.clientID}`
}
