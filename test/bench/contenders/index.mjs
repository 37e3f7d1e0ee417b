import { fileURLToPath, pathToFileURL } from 'node:url'

const PROJECT_DIST = fileURLToPath(new URL('../../../dist', import.meta.url))

/**
 * @typedef {object} Contender
 * @property {string} id
 * @property {string} name as the table shows it
 * @property {() => Promise<{ createApp(surroundings: object): unknown }>} load loads the contender's own file
 * @property {boolean} [ours] whether it is this package
 * @property {string[]} packages what it needs beyond express, passport and express-session
 * @property {string[]} imports what its app loads of them
 * @property {boolean} postgres whether it keeps anything where sessions are kept
 * @property {string} callbackPath
 * @property {RegExp} signedIn where a successful callback leads
 * @property {(browser: import('../lib/client.mjs').Browser) => Promise<string | undefined>} start to the authorization URL
 */

const passportRoutes = {
  postgres: true,
  callbackPath: '/auth/bitbucket/callback',
  signedIn: /^\/$/,
  start: async (browser) => (await browser.request('GET', '/auth/bitbucket')).location,
}

/** `BENCH_DIST` measures another build of this package, for a comparison of before and after. */
const ourPackage = new URL('index.js', pathToFileURL(`${process.env.BENCH_DIST ?? PROJECT_DIST}/`))

const ours = (options) => ({
  ours: true,
  async load() {
    const { createApp } = await import('./ours.mjs')
    const ourModule = await import(ourPackage)
    return { createApp: (surroundings) => createApp(ourModule, { ...options, ...surroundings }) }
  },
  packages: ['passport-bitbucket-signin'],
  imports: [ourPackage.href],
  ...passportRoutes,
})

/** @type {Contender[]} */
export const contenders = [
  { id: 'ours', name: '**ours**, plain mount', ...ours({}) },
  { id: 'ours-ahead', name: '**ours**, `start` ahead of express-session', ...ours({ startAhead: true }) },
  {
    id: 'baseline',
    name: 'hand-written passport-oauth2 (baseline)',
    load: () => import('./baseline.mjs'),
    packages: ['passport-oauth2'],
    imports: ['passport-oauth2'],
    ...passportRoutes,
  },
  {
    id: 'passport-bitbucket-oauth20',
    name: 'passport-bitbucket-oauth20',
    load: () => import('./passport-bitbucket-oauth20.mjs'),
    packages: ['passport-bitbucket-oauth20'],
    imports: ['passport-bitbucket-oauth20'],
    ...passportRoutes,
  },
  {
    id: 'grant',
    name: 'grant',
    load: () => import('./grant.mjs'),
    packages: ['grant'],
    imports: ['grant', 'request-compose'],
    ...passportRoutes,
    callbackPath: '/connect/bitbucket/callback',
    start: async (browser) => (await browser.request('GET', '/connect/bitbucket')).location,
  },
  {
    id: 'authjs',
    name: '@auth/express',
    load: () => import('./authjs.mjs'),
    packages: ['@auth/express'],
    imports: ['@auth/express', '@auth/express/providers/bitbucket'],
    postgres: false,
    callbackPath: '/auth/callback/bitbucket',
    signedIn: /^http:\/\/[^/]+\/?$/,
    async start(browser) {
      const { csrfToken } = JSON.parse((await browser.request('GET', '/auth/csrf')).body)
      const body = `csrfToken=${csrfToken}&callbackUrl=%2F`
      const type = 'application/x-www-form-urlencoded'
      return (await browser.request('POST', '/auth/signin/bitbucket', { body, type })).location
    },
  },
  {
    id: 'better-auth',
    name: 'better-auth',
    load: () => import('./better-auth.mjs'),
    packages: ['better-auth'],
    imports: ['better-auth', 'better-auth/node', 'better-auth/plugins/generic-oauth'],
    postgres: true,
    callbackPath: '/api/auth/callback/bitbucket',
    signedIn: /^(http:\/\/[^/]+)?\/?$/,
    async start(browser) {
      const body = '{"provider":"bitbucket","callbackURL":"/"}'
      const answer = await browser.request('POST', '/api/auth/sign-in/social', { body, type: 'application/json' })
      return answer.status === 200 ? JSON.parse(answer.body).url : answer.body
    },
  },
  {
    id: 'lower-bound',
    name: 'hand-optimised lower bound',
    load: () => import('./lower-bound.mjs'),
    packages: [],
    imports: ['node:https'],
    ...passportRoutes,
  },
]
