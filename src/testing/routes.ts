import { type Answer, type FakeRequest, htmlAnswer, redirectAnswer } from './answer'
import { answerApi } from './fake-api'
import { personCookie, showConsent, signedInPerson, takeDecision } from './fake-consent'
import { avatarImage, frontPage, PAGE_HEADERS, refusalPage } from './fake-pages'
import { answerToken } from './token'
import type { World } from './world'

/** Which room answers a request: Bitbucket's site, its API, or the fake's own few pages. */
export function answer(request: FakeRequest, world: World): Answer {
  const { path } = request
  if (path === '/2.0' || path.startsWith('/2.0/')) return answerApi(request, world)
  const methods = SITE.get(path)
  if (!methods)
    return answerAvatar(request, world) ?? htmlAnswer(404, refusalPage('Not found', NOT_FOUND), PAGE_HEADERS)
  const handler = methods[request.method === 'HEAD' ? 'GET' : request.method]
  return handler ? handler(request, world) : methodNotAllowed(Object.keys(methods))
}

const NOT_FOUND = 'The fake knows what a sign-in needs, and nothing lives at this address.'

type Handler = (request: FakeRequest, world: World) => Answer

const SITE = new Map<string, Readonly<Record<string, Handler>>>([
  ['/site/oauth2/authorize', { GET: showConsent, POST: takeDecision }],
  ['/site/oauth2/access_token', { POST: answerToken }],
  ['/', { GET: (request, world) => htmlAnswer(200, frontPage(world, signedInPerson(request, world)), PAGE_HEADERS) }],
  ['/sign-out', { POST: () => redirectAnswer(303, '/', { 'set-cookie': personCookie('') }) }],
])

function methodNotAllowed(methods: readonly string[]): Answer {
  return htmlAnswer(405, refusalPage('Method not allowed', `Use ${methods.join(' or ')}.`), {
    ...PAGE_HEADERS,
    allow: methods.join(', '),
  })
}

function answerAvatar({ path }: FakeRequest, world: World): Answer | undefined {
  const person = world.people.all.find(({ key }) => path === `/account/${encodeURIComponent(key)}/avatar`)
  if (!person) return undefined
  return {
    status: 200,
    headers: {
      'content-type': 'image/svg+xml',
      'content-security-policy': "default-src 'none'",
      // An app whose pages ask for isolation shows pictures of other origins only with this.
      'cross-origin-resource-policy': 'cross-origin',
    },
    body: avatarImage(person),
  }
}
