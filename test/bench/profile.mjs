/**
 * Where the CPU of one contender goes: `node profile.mjs [contender] [start|signIn|unrelated] [--functions]`.
 * Work inside Node is booked on the file that asked for it; the rest is Node's own.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { contenders } from './contenders/index.mjs'
import { stopChildren } from './lib/children.mjs'
import { startApp, startProvider } from './lib/surroundings.mjs'
import { run, WARM_UP } from './measures/throughput.mjs'

const { positionals, values: args } = parseArgs({
  allowPositionals: true,
  options: { functions: { type: 'boolean', default: false }, ms: { type: 'string', default: '6000' } },
})
const [id = 'ours', kind = 'signIn'] = positionals
const folder = mkdtempSync(`${tmpdir()}/bench-`)
try {
  const contender = contenders.find((each) => each.id === id)
  const app = await startApp(contender, await startProvider(folder))
  const load = { kind, concurrency: 32, ms: Number(args.ms) }
  await run(app, { kind, concurrency: 32, count: WARM_UP })
  await app.send('startProfile')
  const { cpuMs } = await run(app, load)
  const profile = await app.send('stopProfile')
  const results = fileURLToPath(new URL('results/', import.meta.url))
  mkdirSync(results, { recursive: true })
  writeFileSync(`${results}${id}-${kind}.cpuprofile`, JSON.stringify(profile))
  console.log(`${id}, ${kind}: ${(cpuMs * 1000).toFixed(0)} µs each (with the profiler on)\n`)
  for (const { part, share } of parts(profile, args.functions)) {
    if (share < 0.005) continue
    const cells = [(share * 100).toFixed(1).padStart(5), (share * cpuMs * 1000).toFixed(1).padStart(7)]
    console.log(`| ${cells[0]} % | ${cells[1]} µs | ${part} |`)
  }
} finally {
  stopChildren()
  rmSync(folder, { recursive: true, force: true })
}

/** Self time by part, largest first; idle time left out. */
function parts({ nodes, samples, timeDeltas }, byFunction) {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  for (const node of nodes) for (const child of node.children ?? []) byId.get(child).parent = node
  const times = new Map()
  let total = 0
  samples.forEach((sample, index) => {
    const node = byId.get(sample)
    if (node.callFrame.functionName === '(idle)') return
    const part = partOf(node, byFunction)
    times.set(part, (times.get(part) ?? 0) + timeDeltas[index])
    total += timeDeltas[index]
  })
  return Array.from(times, ([part, time]) => ({ part, share: time / total })).sort((a, b) => b.share - a.share)
}

function partOf(node, byFunction) {
  for (let at = node; at; at = at.parent) {
    const { url, functionName } = at.callFrame
    if (url === '' || url.startsWith('node:')) continue
    const file = url
      .replace(/.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\/.*/, '$1')
      .replace(/.*\/(dist|contenders|lib)\//, '$1/')
    return byFunction ? `${file} ${functionName || '(anonymous)'} > ${nativeOf(node, at)}` : file
  }
  const { url, functionName } = node.callFrame
  if (url === '') return functionName
  return byFunction ? `${url} ${functionName}` : `Node's own: ${url.replace(/^node:(internal\/)?/, '').split('/')[0]}`
}

/** What of Node the file was in, when it was not in its own code. */
function nativeOf(leaf, asked) {
  return leaf === asked ? 'itself' : leaf.callFrame.functionName || 'native'
}
