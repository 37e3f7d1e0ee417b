import { median, quantile, summarise, undisturbedRatio } from './statistics.mjs'

const BASELINE = 'baseline'

/**
 * The figures as Markdown: every absolute one with its ratio to the baseline.
 *
 * @param {object} results
 * @param {import('../contenders/index.mjs').Contender[]} contenders
 */
export function report(results, contenders) {
  const parts = [
    `Node ${results.node}, ${results.cpu}${results.quick ? ', quick run' : ''}, ${results.began}. ` +
      '× = ratio to the baseline, median over rounds in which all took their turn; in brackets the middle half of the ratios.',
  ]
  if (results.memory) parts.push(...memoryTables(results.memory, contenders))
  if (results.postgres) parts.push(...postgresTable(results.postgres, contenders))
  if (results.roundTrips) parts.push(...roundTripTable(results.roundTrips, contenders))
  if (results.outage) parts.push(...outageTable(results.outage, contenders))
  if (results.load) parts.push(...loadTables(results.load, contenders))
  if (results.slowProvider?.ours) parts.push(...slowTable(results.slowProvider.ours))
  if (results.imports || results.packages) parts.push(...weightTable(results, contenders))
  if (results.growth?.tenants) parts.push(...growthTables(results.growth))
  const missing = Object.entries(results.missing)
  if (missing.length > 0) parts.push('Not measured:', missing.map(([id, why]) => `- ${id}: ${why}`).join('\n'))
  parts.push(...goalTable(results))
  return `${parts.join('\n\n')}\n`
}

function memoryTables({ samples, bytes, cookies }, contenders) {
  const cell = cells(samples)
  return [
    '### Work, sessions in memory, http, no latency',
    table(
      ['', 'starts/s', 'CPU of a start', 'sign-ins/s at 32', 'at 1', 'CPU of a sign-in at 32', 'at 1'],
      contenders.map(({ id, name }) => [
        name,
        cell('start.perSecond', id, perSecond),
        cell('start.cpuMs', id, milliseconds),
        cell('signIn32.perSecond', id, perSecond),
        cell('signIn1.perSecond', id, perSecond),
        cell('signIn32.cpuMs', id, milliseconds),
        cell('signIn1.cpuMs', id, milliseconds),
      ]),
    ),
    table(
      [
        '',
        'bytes kept per abandoned start',
        'bytes of cookies of a started sign-in',
        'unrelated route, requests/s',
        'CPU of it',
        'core in use at 32',
      ],
      contenders.map(({ id, name }) => [
        name,
        bytes[id] === undefined ? '–' : `${ratio(bytes[id] / bytes[BASELINE])} (${bytes[id].toFixed(0)})`,
        cookies?.[id] ?? '–',
        cell('unrelated.perSecond', id, perSecond),
        cell('unrelated.cpuMs', id, milliseconds),
        cell('signIn32.busy', id, (share) => `${Math.round(share * 100)} %`),
      ]),
    ),
  ]
}

function postgresTable({ samples, unavailable }, contenders) {
  if (unavailable) return ['### Work, sessions in PostgreSQL', `No PostgreSQL: ${unavailable}`]
  const cell = cells(samples)
  return [
    '### Work, sessions in PostgreSQL',
    table(
      ['', 'starts/s', 'CPU of a start', 'sign-ins/s at 32', 'at 1', 'CPU of a sign-in at 32'],
      contenders
        .filter(({ postgres }) => postgres)
        .map(({ id, name }) => [
          name,
          cell('start.perSecond', id, perSecond),
          cell('start.cpuMs', id, milliseconds),
          cell('signIn32.perSecond', id, perSecond),
          cell('signIn1.perSecond', id, perSecond),
          cell('signIn32.cpuMs', id, milliseconds),
        ]),
    ),
  ]
}

function roundTripTable({ schemes }, contenders) {
  const names = Object.keys(schemes)
  const bare = names.flatMap((scheme) => schemes[scheme].bare.flatMap((round) => Object.values(round)))
  const columns = names.flatMap((scheme) => [
    ...[`${scheme} warm`, 'new connections', `${scheme} cold`, 'new connections'],
    `${scheme}, addresses 10 x as slow`,
  ])
  return [
    '### Round trips of a callback',
    `In units of the set 50 ms. One bare request on an open connection took ${median(bare).toFixed(2)}, at best ${quantile(bare, 0.1).toFixed(2)}.`,
    table(
      ['', 'requests', ...columns],
      contenders.map(({ id, name }) => [
        name,
        median(schemes[names[0]].requests.map((round) => round[id])),
        ...names.flatMap((scheme) => {
          const cell = cells(schemes[scheme])
          const opened = (series) => median(schemes[scheme][series].map((round) => round[id]))
          return [
            cell('warm', id, (value) => value.toFixed(2)),
            opened('warmConnections'),
            cell('cold', id, (value) => value.toFixed(2)),
            opened('coldConnections'),
            cell('slowEmails', id, (value) => value.toFixed(2)),
          ]
        }),
      ]),
    ),
  ]
}

function outageTable(outage, contenders) {
  const rows = contenders.flatMap(({ id, name }) =>
    outage[id] ? [[name, outage[id].before, outage[id].during, outage[id].after]] : [],
  )
  return [
    '### Connections to the provider around an outage in which it answers nothing',
    table(['', 'before', 'at its end', '20 s later'], rows),
  ]
}

function loadTables({ samples, unavailable }, contenders) {
  if (unavailable) return ['### Under load', `No PostgreSQL: ${unavailable}`]
  const cell = cells(samples)
  const most = (series, id) => Math.max(...samples[series].map((round) => round[id]))
  const concurrencies = [...new Set(Object.keys(samples).map((series) => series.split('.')[0]))]
  return [
    '### Under load: several processes, sessions (and counters of this package) in PostgreSQL',
    ...concurrencies.map((concurrency) =>
      table(
        [
          `${concurrency} at a time`,
          'sign-ins/s',
          'CPU of a sign-in',
          'event loop delay p99',
          'longest',
          'failed',
          'connections to the provider',
        ],
        contenders
          .filter(({ id }) => samples[`${concurrency}.perSecond`][0][id] !== undefined)
          .map(({ id, name }) => [
            name,
            cell(`${concurrency}.perSecond`, id, perSecond),
            cell(`${concurrency}.cpuMs`, id, milliseconds),
            cell(`${concurrency}.delayMs`, id, milliseconds),
            milliseconds(most(`${concurrency}.longestMs`, id)),
            most(`${concurrency}.failed`, id),
            most(`${concurrency}.connections`, id),
          ]),
      ),
    ),
  ]
}

function slowTable({ signedIn, failures, longestMs, connections, delay, perSecondAfter }) {
  const failed = Object.entries(failures).map(([why, count]) => `${count} × ${why}`)
  return [
    '### This package while the provider is slow, sessions in PostgreSQL',
    table(
      [
        'signed in',
        'failed',
        'longest',
        'connections to the provider',
        'event loop delay p50 · p99',
        'sign-ins/s afterwards',
      ],
      [
        [
          signedIn,
          failed.join('; ') || '0',
          milliseconds(longestMs),
          connections,
          `${milliseconds(delay.p50)} · ${milliseconds(delay.p99)}`,
          perSecond(perSecondAfter),
        ],
      ],
    ),
  ]
}

function weightTable({ imports, packages }, contenders) {
  const cell = imports && cells(imports)
  const base = packages?.[BASELINE]
  return [
    '### Weight',
    table(
      ['', 'CPU of a cold import', 'and with the app ready', 'packages', 'MB', 'type packages', 'MB'],
      contenders.map(({ id, name }) => {
        const weight = packages?.[id]
        return [
          name,
          cell?.('imported', id, milliseconds) ?? '–',
          cell?.('ready', id, milliseconds) ?? '–',
          weight ? `${ratio(weight.packages / base.packages)} (${weight.packages})` : '–',
          weight ? `${ratio(weight.megabytes / base.megabytes)} (${weight.megabytes.toFixed(1)})` : '–',
          weight?.typePackages ?? '–',
          weight?.typeMegabytes.toFixed(1) ?? '–',
        ]
      }),
    ),
  ]
}

function growthTables({ tenants, open }) {
  const rows = (series) =>
    series.map(({ count, heapBytes, start, callback }) => [
      count,
      `${ratio(median(start) / median(series[0].start))} (${milliseconds(median(start))})`,
      `${ratio(median(callback) / median(series[0].callback))} (${milliseconds(median(callback))})`,
      `${((heapBytes - (count === 1 ? 0 : series[0].heapBytes)) / count).toFixed(0)} B`,
    ])
  return [
    '### Growth of this package (ratio to the first row)',
    table(['connections', 'CPU of a start', 'CPU of a callback', 'memory each'], rows(tenants)),
    table(['open transactions', 'CPU of a start', 'CPU of a callback', 'memory each'], rows(open)),
  ]
}

/** The goals of the project, next to the measured values. */
function goalTable({ memory, postgres, roundTrips, outage, imports, packages }) {
  const rows = []
  const goal = (what, limit, actual, met, undisturbed = '–') =>
    rows.push([what, limit, actual, undisturbed, met ? 'yes' : '**no**'])
  const ratioGoals = (section, id, title, goals) => {
    for (const [series, atLeast, limit] of goals) {
      if (!section?.samples?.[series]) continue
      const found = summarise(section.samples[series], id, BASELINE).ratio
      if (!Number.isFinite(found)) continue
      goal(
        `${title}: ${NAMES[series]}`,
        `${atLeast ? '≥' : '≤'} ${limit} ×`,
        ratio(found),
        atLeast ? found >= limit : found <= limit,
        ratio(undisturbedRatio(section.samples[series], id, BASELINE, atLeast)),
      )
    }
  }
  const https = roundTrips?.schemes.https
  if (https?.warm[0]?.ours !== undefined) {
    const roundTripGoal = (what, series, limit) => {
      const values = series.map((round) => round.ours)
      goal(
        what,
        `≤ ${limit.toFixed(2)}`,
        median(values).toFixed(2),
        median(values) <= limit,
        quantile(values, 0.1).toFixed(2),
      )
    }
    roundTripGoal('round trips of a warm callback', https.warm, 2.1)
    roundTripGoal('round trips of a cold callback, https', https.cold, 2.15)
    roundTripGoal('round trips of a known user, slow addresses', https.slowEmails, 2.2)
  }
  ratioGoals(memory, 'ours-ahead', '`start` ahead', [
    ['start.perSecond', true, 2.1],
    ['signIn32.cpuMs', false, 0.75],
    ['signIn32.perSecond', true, 1.35],
  ])
  ratioGoals(memory, 'ours', 'plain mount', [
    ['start.perSecond', true, 1.05],
    ['signIn32.cpuMs', false, 0.85],
    ['signIn32.perSecond', true, 1.15],
    ['unrelated.cpuMs', false, 1.03],
  ])
  ratioGoals(postgres, 'ours', 'PostgreSQL', [
    ['start.perSecond', true, 2],
    ['signIn32.cpuMs', false, 0.65],
    ['signIn32.perSecond', true, 1.7],
  ])
  if (memory?.bytes.ours !== undefined) {
    goal('bytes per abandoned start', '0', memory.bytes.ours.toFixed(0), memory.bytes.ours === 0)
  }
  if (memory?.cookies?.ours !== undefined) {
    goal('bytes of cookies of a started sign-in', '≤ 220', memory.cookies.ours, memory.cookies.ours <= 220)
  }
  if (outage?.ours) {
    const left = outage.ours.after - outage.ours.before
    goal('connections more, 20 s after an outage', '0', left, left <= 0)
  }
  if (imports?.imported[0]?.ours !== undefined) {
    const beyond = imports.ready.map((round) => round.ours - round.express)
    const best = quantile(beyond, 0.1)
    goal(
      'CPU until ready, beyond Express',
      '≤ 70 ms',
      milliseconds(median(beyond)),
      median(beyond) <= 70,
      milliseconds(best),
    )
  }
  if (packages?.ours) {
    const { packages: count, megabytes } = packages.ours
    goal('packages · MB', '≤ 8 · ≤ 9.8', `${count} · ${megabytes.toFixed(1)}`, count <= 8 && megabytes <= 9.8)
  }
  return rows.length === 0 ? [] : ['### Goals', table(['', 'goal', 'measured', 'best tenths compared', 'met'], rows)]
}

const NAMES = {
  'start.perSecond': 'starts/s',
  'signIn32.cpuMs': 'CPU of a sign-in',
  'signIn32.perSecond': 'sign-ins/s at 32',
  'unrelated.cpuMs': 'CPU of an unrelated route',
}

/** A cell is the ratio, how far rounds disagreed, and the absolute median. */
function cells(samples) {
  return (series, id, format) => {
    if (!samples[series]) return '–'
    const { value, ratio: median, low, high } = summarise(samples[series], id, BASELINE)
    if (!Number.isFinite(value)) return '–'
    const spread = id === BASELINE ? '' : ` [${low.toFixed(2)}–${high.toFixed(2)}]`
    return `${ratio(median)}${spread} (${format(value)})`
  }
}

const ratio = (value) => `${value.toFixed(2)} ×`
const perSecond = (value) => `${value.toFixed(0)}/s`
const milliseconds = (value) => `${value.toFixed(value < 1 ? 3 : 2)} ms`

function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}
