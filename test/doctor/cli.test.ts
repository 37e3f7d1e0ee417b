import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { FAKE_CLIENT, type FakeBitbucket, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { dispatch } from '../../src/cli/dispatch'
import type { DoctorReport } from '../../src/doctor/finding'
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app'

let fake: FakeBitbucket
let app: TestApp | undefined
let server: Server | undefined
beforeAll(async () => {
  fake = await startFakeBitbucket()
})
afterAll(() => fake.close())
afterEach(async () => {
  vi.unstubAllEnvs()
  fake.reset()
  await app?.close()
  server?.close()
  app = undefined
  server = undefined
})

async function run(...args: string[]) {
  let output = ''
  let errors = ''
  const code = await dispatch(['doctor', ...args], {
    write: (text) => {
      output += text
    },
    writeError: (text) => {
      errors += text
    },
    untilStopped: async () => {},
  })
  return { code, output, errors, report: () => JSON.parse(output) as DoctorReport }
}

async function start(options: TestAppOptions = {}): Promise<string> {
  app = await startTestApp({ fake, ...options })
  return app.url
}

/** A site of its own making. */
async function serve(listener: RequestListener): Promise<string> {
  server = createServer(listener)
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const problems = (report: DoctorReport) =>
  report.findings.filter(({ verdict }) => verdict === 'problem').map(({ check, fix }) => `${check}: ${fix}`)

describe('doctor on the command line', () => {
  it('examines Node and the packages in this folder', async () => {
    const { code, output } = await run()
    expect(code).toBe(0)
    expect(output).toMatch(/ok +node +Node 20\./)
    expect(output).toMatch(/ok +passport-version +passport 0\.7\.0/)
  })

  it('reports nothing for a healthy site and its client, signs no user in, and reads the secret from the environment', async () => {
    vi.stubEnv('BITBUCKET_CLIENT_SECRET', FAKE_CLIENT.clientSecret)
    const { code, report, output } = await run('--url', await start(), '--bitbucket', fake.url, '--json')
    expect(report().findings.filter(({ verdict }) => verdict !== 'ok')).toEqual([])
    expect(code).toBe(0)
    expect(output).not.toContain(FAKE_CLIENT.clientSecret)
    expect(fake.count('user')).toBe(0)
    expect(app?.accounts.calls).toEqual([])
  })

  it('sends the secret only where the command line says', async () => {
    vi.stubEnv('BITBUCKET_CLIENT_SECRET', FAKE_CLIENT.clientSecret)
    const url = await start()
    const { report } = await run('--url', url, '--bitbucket', 'http://127.0.0.1:9', '--json')
    expect(problems(report()).join()).toContain(`bitbucket: Remove \`endpoints\``)
    expect(fake.count('token')).toBe(0)
  })

  it('reports a secret that Bitbucket refuses, in JSON and with exit code 1', async () => {
    vi.stubEnv('BITBUCKET_CLIENT_SECRET', 'typo')
    const callback = 'http://localhost:3000/cb'
    const { code, report } = await run(
      ...['--client-id', FAKE_CLIENT.clientID, '--callback-url', callback, '--bitbucket', fake.url, '--json'],
    )
    expect(code).toBe(1)
    expect(problems(report()).join()).toContain('credentials: Copy Key and Secret again')
  })

  it('checks without a secret what needs none', async () => {
    const { code, report } = await run('--url', await start(), '--bitbucket', fake.url, '--json')
    expect(report().findings.some(({ check }) => check === 'credentials')).toBe(false)
    expect(code).toBe(0)
  })

  it('compares the computed with the registered callback and client', async () => {
    const registered = 'http://127.0.0.1:3000/auth/bitbucket/callback'
    const { code, output } = await run(
      ...['--url', await start(), '--callback-url', registered, '--client-id', 'other', '--bitbucket', fake.url],
    )
    expect(code).toBe(1)
    expect(output).toContain(`${registered} is registered`)
    expect(output).toContain('The site sends the client ID fake-client-id, not other.')
  })

  it('reports a session cookie that never arrives', async () => {
    const url = await start({ session: { cookie: { secure: true } } })
    const { report } = await run('--url', url, '--bitbucket', fake.url, '--json')
    expect(problems(report()).join()).toMatch(/callback-route: .*trust proxy/)
  })

  it('reports a missing session at the callback', async () => {
    const url = await start({
      before: (express) => {
        express.use((req, _res, next) => {
          Object.defineProperty(req, 'session', { get: () => undefined, set: () => {} })
          Object.defineProperty(req, '_passport', { value: undefined })
          next()
        })
      },
    })
    const { report } = await run('--url', url, '--bitbucket', fake.url, '--json')
    expect(problems(report()).join()).toMatch(/mount|callback-route/)
  })

  it('reports a proxy that drops cookies', async () => {
    const url = await start({
      before: (express) => {
        express.use((_req, res, next) => {
          res.appendHeader = () => res
          next()
        })
      },
    })
    const { report } = await run('--url', url, '--bitbucket', fake.url, '--json')
    expect(problems(report()).join()).toContain('flow-cookie: Check for a proxy or a CDN')
  })

  it('reports another path, a guard that redirects, and a closed port', async () => {
    const url = await start()
    const elsewhere = await run('--url', url, '--path', '/login/bitbucket', '--json')
    expect(problems(elsewhere.report()).join()).toContain('mount: Pass the path of the router with --path')
    const guarded = await serve((_req, res) => res.writeHead(302, { location: '/login?x=1' }).end())
    expect((await run('--url', guarded)).output).toContain('redirects to /login, not to Bitbucket')
    expect((await run('--url', 'http://127.0.0.1:9')).output).toContain('http://127.0.0.1:9 did not answer')
  })

  it('takes no other JSON with a next page for the start of a sign-in', async () => {
    const list = await serve((_req, res) => res.end('{"next":"http://127.0.0.1/list?page=2"}'))
    const { code, report } = await run('--url', list, '--json')
    expect(problems(report()).join()).toContain('mount: Pass the path of the router with --path')
    expect(code).toBe(1)
  })

  it('refuses invalid arguments and shows valid ones', async () => {
    expect(await run('--url', 'app.example.com')).toMatchObject({
      code: 2,
      errors: expect.stringContaining('--url must be an address such as https://app.example.com'),
    })
    expect(await run('--path', 'auth')).toMatchObject({ code: 2, errors: expect.stringContaining('--path') })
    expect(await run('--client-id', 'key')).toMatchObject({
      code: 2,
      errors: expect.stringContaining('--callback-url'),
    })
    expect(await run('--client-id', 'key', '--callback-url', 'http://app.example.com/cb')).toMatchObject({
      code: 2,
      errors: expect.stringContaining('callbackURL'),
    })
    expect(await run('--secret', 'x')).toMatchObject({ code: 2 })
  })

  it('case 27: takes the path of the router from --url', async () => {
    const { output } = await run('--url', 'http://127.0.0.1:9/sso/bitbucket/')
    expect(output).toContain('http://127.0.0.1:9 did not answer')
    expect(await run('--url', 'https://app.example.com/sso', '--path', '/auth')).toMatchObject({
      code: 2,
      errors: expect.stringContaining('Set the router'),
    })
  })

  it('prints its help', async () => {
    expect((await run('--help')).output).toContain('BITBUCKET_CLIENT_SECRET')
  })
})
