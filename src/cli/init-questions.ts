import { createInterface } from 'node:readline/promises'
import type { InitAnswers } from '../init/init-templates'
import { UsageError } from './command'

/** Asks again after an invalid answer. Takes the default at the end of input: readline would never settle. */
export async function ask(
  defaults: InitAnswers,
  input: NodeJS.ReadableStream,
  output: NodeJS.WritableStream,
): Promise<InitAnswers> {
  const terminal = createInterface({ input, output })
  let ended = false
  const closed = new Promise<string>((resolve) =>
    terminal.once('close', () => {
      ended = true
      resolve('')
    }),
  )
  const question = async <T>(text: string, fallback: string, read: (answer: string) => T): Promise<T> => {
    while (true) {
      const answer = ended ? '' : await Promise.race([terminal.question(`${text} [${fallback}] `), closed])
      try {
        return read(answer.trim() || fallback)
      } catch (error) {
        if (!(error instanceof UsageError)) throw error
        output.write(`${error.message}\n`)
      }
    }
  }
  try {
    return {
      localAddresses: await question(
        "Does your app confirm its users' email addresses (verified), only store them (unverified), or have none (none)?",
        defaults.localAddresses,
        (answer) => addressesOf('The answer', answer),
      ),
      mount: await question('Where should the router be mounted?', defaults.mount, (answer) =>
        pathOf('The mount path', answer),
      ),
      signIn: await question('Path of your sign-in page?', defaults.signIn, (answer) =>
        pathOf('The sign-in path', answer),
      ),
    }
  } finally {
    terminal.close()
  }
}

export function addressesOf(name: string, text: string): InitAnswers['localAddresses'] {
  if (text === 'verified' || text === 'unverified' || text === 'none') return text
  throw new UsageError(`${name} must be verified, unverified or none.`)
}

export function pathOf(name: string, text: string): string {
  const path = text.replace(/\/+$/, '')
  if (/^\/[\w./-]+$/.test(path) && !path.includes('..')) return path
  throw new UsageError(`${name} must be a path such as /auth/bitbucket.`)
}
