/** One contender in its own process, so that its CPU can be measured alone. */
import http from 'node:http'
import { Session } from 'node:inspector/promises'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { contenders } from '../contenders/index.mjs'
import { openStore } from './store.mjs'

const warn = console.warn
console.warn = (text, ...more) => String(text).includes('connect.session() MemoryStore') || warn(text, ...more)

const { contenderId, provider, databaseUrl, instance, options } = JSON.parse(process.env.BENCH_APP)
const store = await openStore(databaseUrl, `bench_${contenderId.replaceAll('-', '_')}_${instance}`)
const server = http.createServer()
server.keepAliveTimeout = 120_000
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address()

const contender = contenders.find(({ id }) => id === contenderId)
try {
  const { createApp } = await contender.load()
  server.on('request', await createApp({ provider, origin: `http://127.0.0.1:${port}`, store, ...options }))
} catch (error) {
  await new Promise((resolve) => process.send({ error: error?.stack || String(error) }, resolve))
  process.exit(1)
}

let profiler
const delay = monitorEventLoopDelay({ resolution: 5 })
const commands = {
  cpu: () => process.cpuUsage(),
  watchDelay: () => void delay.enable(),
  /** The delay of the event loop in milliseconds, since `watchDelay`. */
  delay() {
    delay.disable()
    const late = { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6 }
    delay.reset()
    return late
  },
  storeBytes: () => store.bytes(),
  clearStore: () => store.clear(),
  /** Bytes in use after a collection; needs `--expose-gc`. */
  heap() {
    globalThis.gc()
    globalThis.gc()
    return process.memoryUsage().heapUsed
  },
  async startProfile() {
    profiler = new Session()
    profiler.connect()
    await profiler.post('Profiler.enable')
    await profiler.post('Profiler.setSamplingInterval', { interval: 100 })
    await profiler.post('Profiler.start')
  },
  async stopProfile() {
    const { profile } = await profiler.post('Profiler.stop')
    profiler.disconnect()
    return profile
  },
}
process.on('message', async ({ id, command, input }) => {
  process.send({ id, result: (await commands[command](input)) ?? null })
})
process.on('disconnect', () => process.exit())
process.send({ ready: true, port })
