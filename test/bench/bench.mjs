/**
 * Compares the speed of this package with other packages: `node bench.mjs [--quick] [--only <section>] [--contenders a,b] [--slow-ms 40000]`.
 * Prints Markdown and writes samples and figure to `results/`. Ratios are medians of ratios within a round: see lib/statistics.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { contenders as allContenders } from './contenders/index.mjs'
import { stopChildren } from './lib/children.mjs'
import { Connection } from './lib/client.mjs'
import { figure } from './lib/figure.mjs'
import { startPostgres } from './lib/postgres.mjs'
import { report } from './lib/report.mjs'
import { proveSignIn } from './lib/sign-in.mjs'
import { startApp, startProvider } from './lib/surroundings.mjs'
import { measureGrowth } from './measures/growth.mjs'
import { measureImports } from './measures/imports.mjs'
import { measureLoad } from './measures/load.mjs'
import { measureOutage } from './measures/outage.mjs'
import { measurePackages } from './measures/packages.mjs'
import { measureRoundTrips } from './measures/round-trips.mjs'
import { measureSlowProvider } from './measures/slow-provider.mjs'
import { measureAbandonedStarts, measureCookies, measureThroughput, WARM_UP } from './measures/throughput.mjs'

const { values: args } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    contenders: { type: 'string' },
    'slow-ms': { type: 'string', default: '40000' },
  },
})
const PLAN = args.quick
  ? {
      memory: { warmUp: 200, rounds: 2, ms: 200, loads: ['start', 'signIn32', 'signIn1'] },
      unrelated: { warmUp: 0, rounds: 2, ms: 150, loads: ['unrelated'] },
      postgres: { warmUp: 100, rounds: 2, ms: 250, loads: ['start', 'signIn32'] },
      roundTrips: { rounds: 1, warmUp: 3 },
      imports: { rounds: 1 },
      outage: { callbacks: 8, hangsMs: 500, afterMs: 500 },
      load: { processes: 2, warmUp: 50, rounds: 1, ms: 1000, concurrencies: [32, 256] },
      slowProvider: { answersMs: 300, concurrency: 8, ms: 1000 },
      growth: { rounds: 2, ms: 150 },
      schemes: ['https'],
    }
  : {
      memory: { warmUp: WARM_UP, rounds: 11, ms: 700, loads: ['start', 'signIn32', 'signIn1'] },
      unrelated: { warmUp: 0, rounds: 7, ms: 400, loads: ['unrelated'] },
      postgres: { warmUp: WARM_UP, rounds: 9, ms: 700, loads: ['start', 'signIn32', 'signIn1'] },
      roundTrips: { rounds: 6, warmUp: 30 },
      imports: { rounds: 9 },
      outage: { callbacks: 60, hangsMs: 12_000, afterMs: 20_000 },
      load: { processes: 4, warmUp: 1500, rounds: 5, ms: 8000, concurrencies: [32, 256] },
      slowProvider: { answersMs: 3000, concurrency: 32, ms: Number(args['slow-ms']) },
      growth: { rounds: 7, ms: 500 },
      schemes: ['http', 'https'],
    }

/** Each outage takes half a minute. */
const OUTAGE = ['baseline', 'ours', 'passport-bitbucket-oauth20']

/** Each of these is a site with several processes. */
const LOAD = ['baseline', 'ours']

/** The baseline is always included: ratios need it. */
const chosen = args.contenders?.split(',')
const contenders = allContenders.filter(({ id }) => !chosen || chosen.includes(id) || id === 'baseline')
const results = {
  node: process.version,
  cpu: `${cpus().length} x ${cpus()[0].model}`,
  quick: args.quick,
  began: new Date().toISOString(),
  missing: {},
}
const folder = mkdtempSync(`${tmpdir()}/bench-`)
// The database server runs as a separate user.
chmodSync(folder, 0o755)
let provider

const SECTIONS = {
  async memory() {
    const apps = await startApps({})
    const samples = await measureThroughput(apps, PLAN.memory)
    Object.assign(samples, await measureThroughput(apps, PLAN.unrelated))
    const bytes = {}
    const cookies = {}
    for (const app of apps) {
      bytes[app.contender.id] = await measureAbandonedStarts(app)
      cookies[app.contender.id] = await measureCookies(app)
    }
    await stopApps(apps)
    return { samples, bytes, cookies }
  },
  async postgres() {
    const database = await startPostgres(folder)
    if ('unavailable' in database) return database
    try {
      const apps = await startApps({ databaseUrl: database.url }, ({ postgres }) => postgres)
      const samples = await measureThroughput(apps, PLAN.postgres)
      await stopApps(apps)
      return { samples }
    } finally {
      await database.stop()
    }
  },
  async roundTrips() {
    const found = {}
    for (const scheme of PLAN.schemes) {
      const apps = await startApps({ scheme, latency: 'delayed' })
      found[scheme] = await measureRoundTrips(apps, provider, PLAN.roundTrips)
      await stopApps(apps)
    }
    return { schemes: found }
  },
  async outage() {
    const apps = await startApps({}, ({ id }) => OUTAGE.includes(id))
    const found = {}
    for (const app of apps) found[app.contender.id] = await measureOutage(app, provider, PLAN.outage)
    await stopApps(apps)
    return found
  },
  async load() {
    const database = await startPostgres(folder)
    if ('unavailable' in database) return database
    try {
      const sites = []
      for (const contender of contenders.filter(({ id }) => LOAD.includes(id))) {
        const apps = []
        for (let instance = 0; instance < PLAN.load.processes; instance++) {
          const where = { databaseUrl: database.url, instance, options: { sharedCounters: true } }
          apps.push(await startApp(contender, provider, where))
        }
        sites.push({ contender, apps })
      }
      const samples = await measureLoad(sites, provider, PLAN.load)
      for (const { apps } of sites) await stopApps(apps)
      return { samples }
    } finally {
      await database.stop()
    }
  },
  async slowProvider() {
    const database = await startPostgres(folder)
    if ('unavailable' in database) return {}
    try {
      const apps = await startApps({ databaseUrl: database.url }, ({ id }) => id === 'ours')
      const found = {}
      for (const app of apps) found[app.contender.id] = await measureSlowProvider(app, provider, PLAN.slowProvider)
      await stopApps(apps)
      return found
    } finally {
      await database.stop()
    }
  },
  imports: () =>
    measureImports(
      contenders.filter(({ id }) => !results.missing[id]),
      PLAN.imports,
    ),
  async packages() {
    return Object.fromEntries(contenders.map((contender) => [contender.id, measurePackages(contender)]))
  },
  async growth() {
    const ours = contenders.find(({ id }) => id === 'ours')
    return ours && !results.missing.ours ? measureGrowth(ours, provider, PLAN.growth) : {}
  },
}

try {
  provider = await startProvider(folder)
  for (const [section, measure] of Object.entries(SECTIONS)) {
    if (args.only && !args.only.split(',').includes(section)) continue
    const began = performance.now()
    results[section] = await measure()
    console.error(`${section}: ${((performance.now() - began) / 1000).toFixed(0)} s`)
  }
  const out = fileURLToPath(new URL('results/', import.meta.url))
  mkdirSync(out, { recursive: true })
  const name = `${results.began.replace(/[:.]/g, '-')}${args.quick ? '-quick' : ''}`
  writeFileSync(`${out}${name}.json`, JSON.stringify(results))
  const markdown = report(results, contenders)
  writeFileSync(`${out}${name}.md`, markdown)
  if (results.memory) writeFileSync(`${out}${name}.svg`, figure(results.memory, contenders))
  console.log(markdown)
} finally {
  stopChildren()
  rmSync(folder, { recursive: true, force: true })
}

/** Starts the contenders and lets each sign a user in. One that cannot is listed in the table, with the reason. */
async function startApps(where, filter = () => true) {
  const apps = []
  for (const contender of contenders.filter(filter)) {
    try {
      const app = await startApp(contender, provider, where)
      const connection = new Connection(app.port)
      await proveSignIn(contender, connection)
      connection.close()
      apps.push(app)
    } catch (error) {
      if (contender.id === 'baseline') throw error
      results.missing[contender.id] = String(error?.message ?? error).split('\n', 1)[0]
    }
  }
  return apps
}

async function stopApps(apps) {
  for (const app of apps) await app.stop()
}
