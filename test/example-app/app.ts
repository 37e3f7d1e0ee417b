import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../support/free-port'

const SERVER = join(__dirname, '../../example-app/dist/server.js')
const READY_WITHIN_MS = 20_000

/** A test that fails half way must not leave processes behind. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A mail as `/dev/mailbox` tells it. */
export interface DevMail {
  readonly id: string
  readonly at: string
  readonly to: string
  readonly subject: string
  readonly text: string
}

/** The example app, running as its own process. */
export interface ExampleApp {
  /** Its address, `http://localhost:<port>`. */
  readonly url: string
  readonly port: number
  /** Where its fake Bitbucket is, when it started one. */
  readonly fakeURL: string
  readonly dataDir: string
  readonly pid: number
  /** Everything it printed so far. */
  output(): string
  /** Mails in the development mailbox, newest first. */
  mails(to?: string): Promise<DevMail[]>
  /** The code in the newest mail to an address, as it stands there. */
  code(to: string): Promise<string>
  /** Sends a signal and waits for the end; answers the exit status. Default SIGTERM. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/**
 * Starts the built example app on free ports with its data in a directory of its own, and waits until it is ready.
 * `env` is laid over that. Rejects with what the process printed when it ends instead.
 */
export async function startExampleApp(env: Record<string, string> = {}): Promise<ExampleApp> {
  const [port, fakePort] = await Promise.all([freePort(), freePort()])
  const dataDir = env.DATA_DIR ?? (await mkdtemp(join(tmpdir(), 'example-app-')))
  const settings = { PORT: String(port), FAKE_BITBUCKET_PORT: String(fakePort), ...env, DATA_DIR: dataDir }
  // Not the environment of the test run: a DATABASE_URL there is none of this app's business.
  const child = spawn(process.execPath, [SERVER], { env: { PATH: process.env.PATH, ...settings }, cwd: dataDir })
  running.add(child)
  child.once('exit', () => running.delete(child))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const url = `http://localhost:${settings.PORT}`

  await untilReady(child, Number(settings.PORT), () => output)
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const mails = async (to?: string) => {
    const query = to === undefined ? '' : `?to=${encodeURIComponent(to)}`
    const answer = await fetch(`${url}/dev/mailbox${query}`, { headers: { Accept: 'application/json' } })
    return ((await answer.json()) as { mails: DevMail[] }).mails
  }

  return {
    url,
    port: Number(settings.PORT),
    fakeURL: env.FAKE_BITBUCKET_URL ?? `http://127.0.0.1:${settings.FAKE_BITBUCKET_PORT}`,
    dataDir,
    pid: child.pid ?? 0,
    output: () => output,
    mails,
    code: async (to) => {
      const found = /[A-Z]{4}-[A-Z]{4}|\d{4} \d{4}/.exec((await mails(to))[0]?.text ?? '')
      if (!found) throw new Error(`There is no code in the mailbox of ${to}.`)
      return found[0]
    },
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal)
      const status = await ended
      if (env.DATA_DIR === undefined) await rm(dataDir, { recursive: true, force: true })
      return status
    },
  }
}

/** Runs the app with settings with which it must not start; answers its exit status and what it printed. */
export async function failToStart(env: Record<string, string>): Promise<{ status: number | null; output: string }> {
  const dataDir = await mkdtemp(join(tmpdir(), 'example-app-'))
  const child = spawn(process.execPath, [SERVER], {
    env: { PATH: process.env.PATH, DATA_DIR: dataDir, ...env },
    cwd: dataDir,
    timeout: READY_WITHIN_MS,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve))
  await rm(dataDir, { recursive: true, force: true })
  return { status, output }
}

async function untilReady(child: ChildProcess, port: number, output: () => string): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS
  while (child.exitCode === null && Date.now() < deadline) {
    const ready = await fetch(`http://127.0.0.1:${port}/healthz`).then(
      (answer) => answer.ok,
      () => false,
    )
    if (ready) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  child.kill('SIGKILL')
  throw new Error(`The example app did not start.\n${output()}`)
}
