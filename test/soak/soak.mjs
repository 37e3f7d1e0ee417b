/**
 * `npm run soak`: a steady stream of sign-ins of every kind, 30 minutes long (`-- --seconds 60` for a short one,
 * `--rate 20` for another number a second). Reports what was done and what went wrong by kind, memory, sockets and
 * timers, and ends with an error when a sign-in did not end as it should, an error was not caught,
 * something is left open, or memory still rises in the second half.
 *
 * Everything that the app of this test remembers is bounded and full within the first minute, so that memory levels
 * off. `--leak heap`, `sockets`, `timers` or `rejections` plants one on purpose; such a run has to end with an error.
 */
import { fork } from 'node:child_process'
import http from 'node:http'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { startFakeBitbucket } from 'passport-bitbucket-signin/testing'

const { values } = parseArgs({
  options: { seconds: { type: 'string' }, rate: { type: 'string' }, leak: { type: 'string' } },
})
const seconds = Number(values.seconds ?? 1800)
const rate = Number(values.rate ?? 20)
const PEOPLE = 200

const fake = await startFakeBitbucket()
for (let at = 0; at < PEOPLE; at++) fake.addPerson({ key: `p${at}` })
/** A new user each time, removed afterwards, so that the fake does not grow either. */
let strangers = 0

/** Codes of people whose exchange is to fail, so that faults meet only those who expect them. */
const faults = new Map()
const FAULTS = [
  { delivery: 'reset' },
  { delivery: 'truncate' },
  { status: 502 },
  { html: '<h1>x</h1>' },
  { delivery: 'stall' },
]
fake.script('token', ({ form }) => faults.get(form.code) ?? null)

const child = fork(fileURLToPath(new URL('./app.mjs', import.meta.url)), {
  execArgv: ['--expose-gc', '--max-semi-space-size=8'],
  env: {
    ...process.env,
    NODE_ENV: 'production',
    SOAK: JSON.stringify({ endpoints: fake.endpoints, leak: values.leak }),
  },
})
let died = null
child.on('exit', (code, signal) => {
  died = signal ?? code
})
const waiting = new Map()
let url = ''
await new Promise((resolve) => {
  child.on('message', (message) => {
    if (message.url) {
      url = message.url
      return resolve()
    }
    waiting.get(message.id)?.(message.figures)
    waiting.delete(message.id)
  })
})

function figures() {
  return new Promise((resolve, reject) => {
    if (died !== null) return reject(new Error(`The app has ended: ${died}`))
    const id = Math.random()
    const late = setTimeout(() => reject(new Error('The app no longer answers.')), 15_000)
    waiting.set(id, (told) => {
      clearTimeout(late)
      resolve(told)
    })
    child.send(id)
  })
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 64 })

/** One browser's request; keeps its cookies. */
function ask(jar, target, { form, leaveAfterMs } = {}) {
  const { hostname, port, pathname, search } = new URL(target, url)
  const body = form && new URLSearchParams(form).toString()
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        hostname,
        port,
        path: pathname + search,
        agent: leaveAfterMs === undefined ? agent : false,
        method: form ? 'POST' : 'GET',
        headers: {
          accept: 'text/html',
          cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; '),
          ...(form && { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin' }),
        },
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk) => {
          text += chunk
        })
        response.on('error', reject)
        response.on('end', () => {
          for (const line of response.headers['set-cookie'] ?? []) {
            const [pair] = line.split(';')
            const at = pair.indexOf('=')
            if (/max-age=0/i.test(line)) jar.delete(pair.slice(0, at))
            else jar.set(pair.slice(0, at), pair.slice(at + 1))
          }
          resolve({ status: response.statusCode, location: response.headers.location ?? '', text })
        })
      },
    )
    request.on('error', (error) => (leaveAfterMs === undefined ? reject(error) : resolve({ status: 0, location: '' })))
    if (leaveAfterMs !== undefined) setTimeout(() => request.destroy(), leaveAfterMs)
    request.end(body)
  })
}

async function callbackOf(jar, person, decision = 'allow') {
  return fake.signIn((await ask(jar, '/auth/bitbucket?returnTo=/done')).location, { person, decision })
}

const me = async (jar) => JSON.parse((await ask(jar, '/me')).text).user
const expected = (what, is, should) => {
  if (is !== should) throw new Error(`${what}: ${is} instead of ${should}`)
}
const someone = () => `p${Math.floor(Math.random() * PEOPLE)}`

/** The steps of users, with their share in percent. */
const KINDS = {
  'sign in': [
    55,
    async (jar) => {
      expected('location', (await ask(jar, await callbackOf(jar, someone()))).location, '/done')
      expected('signed in', (await me(jar)) !== null, true)
    },
  ],
  'sign up with a code': [
    10,
    async (jar) => {
      const key = `s${strangers++}`
      fake.addPerson({ key, emails: [{ address: `${key}@example.com`, primary: true, confirmed: false }] })
      expected('location', (await ask(jar, await callbackOf(jar, key))).location, '/auth/bitbucket/email')
      const { text } = await ask(jar, '/auth/bitbucket/email')
      const pending = /name="pending" value="([^"]+)"/.exec(text)?.[1]
      expected(
        'wrong code',
        (await ask(jar, '/auth/bitbucket/email/verify', { form: { pending, code: 'x' } })).status,
        400,
      )
      const { code } = JSON.parse((await ask(jar, `/code?to=${key}@example.com`)).text)
      expected('right code', (await ask(jar, '/auth/bitbucket/email/verify', { form: { pending, code } })).status, 303)
      expected('signed in', (await me(jar)) !== null, true)
      fake.removePerson(key)
    },
  ],
  'start only': [
    10,
    async (jar) => {
      expected('start', (await ask(jar, '/auth/bitbucket')).status, 302)
    },
  ],
  'say no': [
    5,
    async (jar) => {
      expected('denied', (await ask(jar, await callbackOf(jar, someone(), 'deny'))).status, 403)
    },
  ],
  'replay and forge': [
    8,
    async (jar) => {
      const callback = await callbackOf(jar, someone())
      expected('forged', (await ask(jar, callback.replace(/state=[\w-]{8}/, 'state=0AAAAAAA'))).status, 403)
      expected('genuine', (await ask(jar, callback)).location, '/done')
      expected('replayed', (await ask(jar, callback)).status, 403)
    },
  ],
  'meet a fault of Bitbucket': [
    8,
    async (jar) => {
      const callback = await callbackOf(jar, someone())
      const code = new URL(callback).searchParams.get('code')
      faults.set(code, FAULTS[Math.floor(Math.random() * FAULTS.length)])
      const { status } = await ask(jar, callback)
      faults.delete(code)
      expected('fault', status === 502 || status === 504, true)
      expected('signed in', await me(jar), null)
    },
  ],
  'leave in the middle': [
    4,
    async (jar) => {
      await ask(jar, await callbackOf(jar, someone()), { leaveAfterMs: Math.random() * 8 })
    },
  ],
}

function kind() {
  let draw = Math.random() * 100
  for (const [name, [share, run]] of Object.entries(KINDS)) {
    draw -= share
    if (draw < 0) return [name, run]
  }
  return ['sign in', KINDS['sign in'][1]]
}

const done = Object.fromEntries(Object.keys(KINDS).map((name) => [name, 0]))
const errors = Object.fromEntries(Object.keys(KINDS).map((name) => [name, 0]))
/** How often what was said; a broken run says the same thing a thousand times. */
const words = new Map()
const say = (text) => words.set(text, (words.get(text) ?? 0) + 1)
const sum = (counts) => Object.values(counts).reduce((all, count) => all + count, 0)
const failures = []
const samples = []
let running = 0
let mostAtOnce = 0

async function one() {
  const [name, run] = kind()
  running++
  mostAtOnce = Math.max(mostAtOnce, running)
  try {
    await run(new Map())
    done[name]++
  } catch (error) {
    errors[name]++
    say(`${name}: ${error.message}`)
  }
  running--
}

const megabytes = (bytes) => (bytes / 1024 / 1024).toFixed(1)
const startedAt = performance.now()
const elapsed = () => (performance.now() - startedAt) / 1000

async function sample() {
  const now = await figures()
  failures.push(...now.failures)
  now.failures.forEach(say)
  samples.push({ at: elapsed(), ...now })
  fake.clearRequests()
}

for (let at = 0; at < PEOPLE; at++) {
  const jar = new Map()
  await ask(jar, await callbackOf(jar, `p${at}`))
}
await sample()
const ticker = setInterval(() => {
  if (running < 500) void one()
}, 1000 / rate)
const sampleEvery = Math.max(2, Math.min(30, seconds / 20))
while (elapsed() < seconds && died === null) {
  await new Promise((resolve) => setTimeout(resolve, sampleEvery * 1000))
  await sample()
  const { at, rss, heapUsed, sockets, timers } = samples.at(-1)
  process.stderr.write(
    `${at.toFixed(0).padStart(5)} s  ${sum(done)} done  ${sum(errors)} errors  heap ${megabytes(heapUsed)} MB  rss ${megabytes(rss)} MB  ${sockets} sockets  ${timers} timers\n`,
  )
}
clearInterval(ticker)
for (let waited = 0; running > 0 && waited < 300; waited++) await new Promise((resolve) => setTimeout(resolve, 100))
if (running > 0) say(`${running} sign-ins never ended`)
agent.destroy()
// Idle connections to the fake end after 15 seconds, spare ones after 30.
if (died === null) await new Promise((resolve) => setTimeout(resolve, Math.min(32_000, seconds * 500)))
if (died === null) await sample()
const first = samples[0]
const last = samples.at(-1)

/** Least squares over the second half: bytes a minute. */
function slope(field) {
  const half = samples.slice(0, -1).filter(({ at }) => at >= seconds / 2)
  const mean = (list) => list.reduce((sum, each) => sum + each, 0) / list.length
  const [t, y] = [mean(half.map(({ at }) => at)), mean(half.map((each) => each[field]))]
  const above = half.reduce((sum, each) => sum + (each.at - t) * (each[field] - y), 0)
  const below = half.reduce((sum, each) => sum + (each.at - t) ** 2, 0)
  return below === 0 ? 0 : (above / below) * 60
}

/** MB a minute above which the second half of a run rises. A minute is mostly warming up, and less says nothing. */
const LIMITS = seconds >= 600 ? { heapUsed: 0.3, external: 0.3, rss: 1.5 } : { heapUsed: 3, external: 3, rss: 10 }
const per = { heapUsed: 'heap after collection', external: 'outside of the heap', rss: 'rss' }
const rising = Object.keys(per).filter((field) => seconds >= 60 && slope(field) / 1024 / 1024 > LIMITS[field])

console.log(
  `\n${seconds} s at ${rate} a second (${(sum(done) / seconds).toFixed(1)} finished), at most ${mostAtOnce} at once`,
)
for (const [name, count] of Object.entries(done)) {
  console.log(`  ${name.padEnd(26)} ${String(count).padEnd(7)} ${errors[name]} errors`)
}
console.log(`  ${'uncaught, unhandled'.padEnd(26)} ${failures.length}`)
for (const [field, label] of Object.entries(per)) {
  const [from, to, minute] = [first[field], last[field], slope(field)].map(megabytes)
  console.log(
    `  ${label.padEnd(26)} ${from} MB → ${to} MB, second half ${minute} MB a minute (at most ${LIMITS[field]})`,
  )
}
console.log(`  open sockets at the end    ${last.sockets}`)
console.log(`  timers at the end          ${last.timers}`)
for (const [text, count] of [...words].slice(0, 10)) console.log(`  ! ${count} × ${text}`)
for (const field of rising) console.log(`  ! ${per[field]} still rises`)
const left = ['sockets', 'timers'].filter((field) => last[field] > 4)
for (const field of left) console.log(`  ! ${last[field]} ${field} are still open`)

child.disconnect()
await fake.close()
if (died !== null) console.log(`  ! the app exited: ${died}`)
const bad = died !== null || words.size > 0 || left.length > 0 || rising.length > 0
process.exitCode = bad ? 1 : 0
