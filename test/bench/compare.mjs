/**
 * Before and after: `node compare.mjs <dist> [<dist> …] [--rounds 20] [--ahead]`. CPU of a start and of a whole sign-in
 * for each build of this package, the baseline and the lower bound, in short interleaved batches. The tenth
 * percentile is shown too: on a shared machine the undisturbed batches are the ones to compare.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { contenders } from './contenders/index.mjs'
import { stopChildren } from './lib/children.mjs'
import { median, quantile, rotated } from './lib/statistics.mjs'
import { startApp, startProvider } from './lib/surroundings.mjs'
import { run, WARM_UP } from './measures/throughput.mjs'

const { positionals, values: args } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '20' }, ahead: { type: 'boolean', default: false } },
})
const byId = (id) => contenders.find((contender) => contender.id === id)
const folder = mkdtempSync(`${tmpdir()}/bench-`)
try {
  const provider = await startProvider(folder)
  const apps = []
  for (const id of ['baseline', 'lower-bound']) apps.push({ label: id, app: await startApp(byId(id), provider) })
  for (const dist of positionals) {
    const contender = byId(args.ahead ? 'ours-ahead' : 'ours')
    apps.push({ label: dist, app: await startApp(contender, provider, { env: { BENCH_DIST: resolve(dist) } }) })
  }
  for (const { app } of apps) await run(app, { kind: 'signIn', concurrency: 16, count: WARM_UP })
  const samples = new Map(apps.map(({ label }) => [label, { start: [], signIn: [], ownCode: [] }]))
  for (let round = 0; round < Number(args.rounds); round++) {
    for (const kind of ['start', 'signIn']) {
      for (const { label, app } of rotated(apps, round)) {
        const { cpuMs, systemMs } = await run(app, { kind, concurrency: 32, ms: 200 })
        samples.get(label)[kind].push(cpuMs)
        samples.get(label).ownCode.push(kind === 'signIn' ? cpuMs - systemMs : Number.NaN)
        await app.send('clearStore')
      }
    }
  }
  const base = samples.get('baseline')
  for (const [label, { start, signIn, ownCode }] of samples) {
    const cell = (kind, values) =>
      [median, (all) => quantile(all, 0.1)]
        .map((of) => `${(of(values) * 1000).toFixed(0)} µs (${(of(values) / of(base[kind])).toFixed(2)} ×)`)
        .join(', at best ')
    console.log(
      `${label.padEnd(28)} start ${cell('start', start)}; sign-in ${cell('signIn', signIn)}; outside the kernel ${cell('ownCode', ownCode)}`,
    )
  }
} finally {
  stopChildren()
  rmSync(folder, { recursive: true, force: true })
}
