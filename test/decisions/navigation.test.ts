import { describe, expect, test } from 'vitest'
import { isNavigation } from '../../src/decisions/navigation'

/** `Sec-Fetch-Site`, `-Mode`, `-Dest`, `-User` and `Sec-Purpose`; `null` = the browser does not send it. */
type Sent = readonly [string | null, string | null, string | null, string | null, string | null]

const NAMES = ['sec-fetch-site', 'sec-fetch-mode', 'sec-fetch-dest', 'sec-fetch-user', 'sec-purpose'] as const
const headersOf = (sent: Sent) =>
  Object.fromEntries(NAMES.flatMap((name, at) => (sent[at] === null ? [] : [[name, sent[at] as string]])))

// Headers observed in Chromium.
test.each<[string, Sent, boolean]>([
  ['a link, a form, a click handler', ['same-origin', 'navigate', 'document', '?1', null], true],
  ['the address bar', ['none', 'navigate', 'document', '?1', null], true],
  ['a script without a click, a meta refresh', ['same-origin', 'navigate', 'document', null, null], true],
  ['the redirect from Bitbucket', ['cross-site', 'navigate', 'document', '?1', null], true],
  ['the redirect from Bitbucket without a click', ['cross-site', 'navigate', 'document', null, null], true],
  ['a page of the same origin that calls fetch()', ['same-origin', 'cors', 'empty', null, null], true],
  ['fetch() of a frontend on another origin', ['cross-site', 'cors', 'empty', null, null], true],
  ['fetch() without CORS in a page of the same origin', ['same-origin', 'no-cors', 'empty', null, null], true],
  ['a service worker with navigation preload', ['same-origin', 'navigate', 'document', '?1', null], true],
  ['a service worker that fetches the navigation', ['same-origin', 'navigate', 'empty', null, null], true],
  ['the callback through a service worker', ['cross-site', 'navigate', 'empty', null, null], true],
  ['a browser without these headers', [null, null, null, null, null], true],
  ['an image', ['same-origin', 'no-cors', 'image', null, null], false],
  ['an image of another site', ['cross-site', 'no-cors', 'image', null, null], false],
  ['a frame', ['same-origin', 'navigate', 'iframe', null, null], false],
  ['an object', ['same-origin', 'navigate', 'object', null, null], false],
  ['a link with rel=prefetch', ['same-origin', 'no-cors', 'empty', null, 'prefetch'], false],
  ['a prefetch by speculation rules', ['none', 'navigate', 'document', null, 'prefetch'], false],
  ['a prerender by speculation rules', ['none', 'navigate', 'document', null, 'prefetch;prerender'], false],
  ['a speculative load through a service worker', ['same-origin', 'navigate', 'empty', null, 'prefetch'], false],
  ['a beacon of another site', ['cross-site', 'no-cors', 'empty', null, null], false],
  ['a beacon of a sibling domain', ['same-site', 'no-cors', 'empty', null, null], false],
])('case 2: %s', (_cause, sent, expected) => {
  expect(isNavigation(headersOf(sent))).toBe(expected)
})

describe('case 2: a purpose header', () => {
  const headers = ['sec-purpose', 'purpose', 'x-purpose', 'x-moz', 'x-sec-purpose']
  const values = ['prefetch', 'Prefetch', ' prefetch', 'prefetch;anonymous-client-ip', 'prerender', 'preview']
  test.each(headers.flatMap((name) => values.map((value) => [name, value] as const)))(
    'in %s: "%s" is not a navigation, whatever else is sent',
    (name, value) => {
      const click = headersOf(['same-origin', 'navigate', 'document', '?1', null])
      expect(isNavigation({ [name]: value })).toBe(false)
      expect(isNavigation({ ...click, [name]: value })).toBe(false)
    },
  )

  test.each(headers)('in %s with another word changes nothing', (name) => {
    expect(isNavigation({ [name]: 'navigate' })).toBe(true)
    expect(isNavigation({ [name]: '' })).toBe(true)
  })
})

test.each(
  'audio audioworklet embed fencedframe font frame iframe image json manifest object paintworklet report script serviceworker sharedworker style track video webidentity worker xslt'.split(
    ' ',
  ),
)('case 2: refuses the destination %s as a subresource or a frame, in any mode', (destination) => {
  for (const mode of ['navigate', 'no-cors', 'cors', 'same-origin']) {
    expect(isNavigation({ 'sec-fetch-dest': destination, 'sec-fetch-mode': mode })).toBe(false)
  }
})
