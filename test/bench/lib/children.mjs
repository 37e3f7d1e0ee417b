import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const running = new Set()

/**
 * Starts a script as its own process and returns a handle that sends it commands.
 *
 * @param {string} script path relative to this folder
 * @param {NodeJS.ProcessEnv} env
 * @param {string[]} [execArgv]
 */
export async function startChild(script, env, execArgv = []) {
  const child = fork(fileURLToPath(new URL(script, import.meta.url)), [], { env: { ...process.env, ...env }, execArgv })
  running.add(child)
  child.once('exit', () => running.delete(child))
  const failed = once(child, 'exit').then(([code]) => Promise.reject(new Error(`${script} ended with code ${code}`)))
  failed.catch(() => {})
  const [ready] = await Promise.race([once(child, 'message'), failed])
  if ('error' in ready) throw new Error(ready.error)

  let commands = 0
  const waiting = new Map()
  child.on('message', ({ id, result }) => {
    waiting.get(id)?.(result)
    waiting.delete(id)
  })
  return {
    ready,
    pid: child.pid,
    /** @param {string} command */
    send(command, input) {
      const id = ++commands
      child.send({ id, command, input })
      return Promise.race([new Promise((resolve) => waiting.set(id, resolve)), failed])
    },
    async stop() {
      if (!running.has(child)) return
      child.kill()
      await once(child, 'exit')
    },
  }
}

/** Ends the remaining processes, by their ids. */
export function stopChildren() {
  for (const child of running) child.kill()
}
