import { type Command, type Terminal, UsageError } from './command'
import { doctor } from './doctor-command'
import { fake } from './fake-command'

const PROGRAM = 'passport-bitbucket-signin'

/** In the order of the usage text. */
const COMMANDS: readonly Command[] = [doctor, fake]

/** Runs the command that the arguments name, and returns the exit code. */
export async function dispatch(args: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined || name === 'help' || isHelp(name)) {
    terminal.write(usage())
    return name === undefined ? 2 : 0
  }
  const command = COMMANDS.find((known) => known.name === name)
  if (!command) {
    terminal.writeError(`There is no command "${name}".\n\n${usage()}`)
    return 2
  }
  if (rest.some(isHelp)) {
    terminal.write(command.usage)
    return 0
  }
  return runCommand(command, rest, terminal)
}

async function runCommand(command: Command, args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await command.run(args, terminal)
  } catch (error) {
    if (!isUsageError(error)) throw error
    terminal.writeError(`${error.message}\nSee: ${PROGRAM} ${command.name} --help\n`)
    return 2
  }
}

/** Our own, or one of `parseArgs`, whose messages already say what to do. */
function isUsageError(error: unknown): error is Error {
  if (error instanceof UsageError) return true
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_')
}

function isHelp(arg: string): boolean {
  return arg === '--help' || arg === '-h'
}

function usage(): string {
  const list = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(10)}${summary}`)
  return `Usage: ${PROGRAM} <command> [options]

Commands:
${list.join('\n')}

${PROGRAM} <command> --help explains its options.
`
}
