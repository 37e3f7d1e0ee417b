import type { Server } from 'node:http'
import { Activity } from './accounts/activity.js'
import { Codes } from './accounts/codes.js'
import { KnownBrowsers } from './accounts/known-browsers.js'
import { createApp } from './app.js'
import { setUpBitbucket } from './bitbucket/plugin.js'
import { ConnectionSettings } from './bitbucket/settings.js'
import { type Config, ConfigError, DEMO_ADMIN, DEMO_PASSWORD, loadConfig } from './config.js'
import { openDatabase } from './database/database.js'
import { DEMO_CLIENT, demoOf, furnish, startFake } from './demo/demo.js'
import { housekeeping } from './housekeeping.js'
import { counterFactory, Limits, resettable } from './limits.js'
import { createLog, type Log } from './log.js'
import { Mailer } from './mail.js'
import { Sealer } from './seal.js'

/** Starts everything, in the order in which it is needed, and ends it in the opposite one. */
async function start(config: Config): Promise<void> {
  const log = createLog(config.logLevel)
  const { db, pool } = await openDatabase(config, log)
  const counters = await counterFactory(pool, config.redisURL, log)
  const demoLimits = config.demo ? resettable(counters.factory) : null
  const factory = demoLimits?.factory ?? counters.factory
  const sealer = new Sealer(config.secrets)

  // The fake Bitbucket in this process; that of another process with FAKE_BITBUCKET_URL; otherwise the real one.
  const fake = config.demo && !config.fake.url ? await startFake(config) : null
  const fakeURL = fake?.url ?? config.fake.url
  const environment = {
    clientID: config.client?.id ?? DEMO_CLIENT.clientID,
    clientSecret: config.client?.secret ?? DEMO_CLIENT.clientSecret,
    ...(fakeURL !== undefined && { endpoints: endpointsAt(fakeURL) }),
  }
  const settings = new ConnectionSettings(config, db, sealer, environment, log)
  if (config.demo) await furnish(db, settings, config)

  const mailer = new Mailer(config, db, log)
  const activity = new Activity(db, log)
  const bitbucket = setUpBitbucket({ config, db, sealer, settings, mailer, activity, counters: factory, log })
  let open = true
  const app = createApp(
    {
      ...{ config, log, db, activity, mailer, settings, sealer, bitbucket },
      codes: new Codes(db, sealer),
      limits: new Limits(factory),
      knownBrowsers: new KnownBrowsers(config, sealer),
      authorizeOrigin: fakeURL ?? 'https://bitbucket.org',
      isOpen: () => open,
    },
    fake && demoOf(fake, db, () => demoLimits?.reset()),
  )
  const server = app.listen({ host: config.host, port: config.port }, (error?: Error) => {
    if (error) fail(error)
    announce(config, log, environment.clientID, fakeURL)
  })
  const stopCleaning = housekeeping(db, log)

  const stop = async (signal: string) => {
    if (!open) return
    open = false
    log.info({ signal }, 'stopping: no new requests, those under way are finished')
    stopCleaning()
    await finish(server)
    await mailer.drain()
    bitbucket.close()
    await counters.close()
    await fake?.close()
    await db.destroy()
  }
  process.on('SIGTERM', (signal) => void stop(signal))
  process.on('SIGINT', (signal) => void stop(signal))
}

/** Waits until the requests under way are answered; a sign-in may be on its way to Bitbucket and back. */
async function finish(server: Server): Promise<void> {
  const lastCall = setTimeout(() => server.closeAllConnections(), 20_000)
  // A connection that its client keeps open for later is idle only after the answer that is under way.
  const idle = setInterval(() => server.closeIdleConnections(), 100)
  await new Promise((resolve) => server.close(resolve))
  clearTimeout(lastCall)
  clearInterval(idle)
}

const endpointsAt = (url: string) => ({
  authorizationURL: `${url}/site/oauth2/authorize`,
  tokenURL: `${url}/site/oauth2/access_token`,
  apiURL: `${url}/2.0`,
})

/** Hints for the terminal, as plain lines next to the log. */
function announce(config: Config, log: Log, clientID: string, fakeURL: string | undefined): void {
  const callbackURL = `${config.baseURL.origin}/auth/bitbucket/callback`
  log.info({ url: config.baseURL.origin, callbackURL, clientID, fakeBitbucket: fakeURL ?? null }, 'ready')
  const lines = fakeURL
    ? [
        `Corkboard is ready at ${config.baseURL.origin}`,
        `It uses a FAKE Bitbucket at ${fakeURL}: no account needed, never for production.`,
        `  scenarios       ${config.baseURL.origin}/scenarios`,
        ...(config.hasMailbox ? [`  mailbox         ${config.baseURL.origin}/dev/mailbox`] : []),
        `  administration  ${config.baseURL.origin}/admin/connections`,
        ...(config.adminEmail === DEMO_ADMIN ? [`                  as ${DEMO_ADMIN}, password ${DEMO_PASSWORD}`] : []),
      ]
    : [
        `Corkboard is ready at ${config.baseURL.origin}`,
        'It uses bitbucket.org. Your OAuth client there (workspace › Settings › OAuth clients) needs',
        `  callback URL  ${callbackURL}`,
        '  permissions   Account: Read, Account: Email',
      ]
  if (config.logLevel !== 'silent') process.stdout.write(`\n${lines.join('\n')}\n\n`)
}

function fail(error: NodeJS.ErrnoException & { port?: number }): never {
  process.stderr.write(`${reasonOf(error)}\n`)
  process.exit(1)
}

function reasonOf(error: NodeJS.ErrnoException & { port?: number }): string | undefined {
  if (error instanceof ConfigError) return `Wrong configuration.\n${error.message}`
  if (error.code !== 'EADDRINUSE') return error.stack
  return `Port ${error.port} is in use. Stop what listens there, or set PORT and FAKE_BITBUCKET_PORT to free ports.`
}

try {
  await start(loadConfig())
} catch (error) {
  fail(error as Error)
}
