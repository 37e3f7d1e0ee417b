import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { closest } from '../contract/closest'
import { type Command, type Terminal, UsageError } from './command'

const PROGRAM = 'passport-bitbucket-signin'

interface Listed {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** Loads the command, and with it what only this command needs. */
  readonly load: () => Promise<Command>
}

/** In the order of the usage text. */
const COMMANDS: readonly Listed[] = [
  {
    name: 'init',
    summary: 'Write a first setup into your app: connection, hooks, test.',
    load: async () => (require('./init-command') as typeof import('./init-command')).init,
  },
  {
    name: 'doctor',
    summary: 'Find mistakes in a setup and how to fix them.',
    load: async () => (require('./doctor-command') as typeof import('./doctor-command')).doctor,
  },
  {
    name: 'fake',
    summary: 'Start a fake Bitbucket to develop against.',
    load: async () => (require('./fake-command') as typeof import('./fake-command')).fake,
  },
  {
    name: 'check-hooks',
    summary: 'Run your account hooks against your own test database.',
    load: async () => (require('./check-hooks-command') as typeof import('./check-hooks-command')).checkHooks,
  },
  {
    name: 'record',
    summary: 'Record how Bitbucket treats your OAuth client, without secrets.',
    load: async () => (require('./record-command') as typeof import('./record-command')).record,
  },
]

/** Runs the command that the arguments name, and returns the exit code. */
export async function dispatch(args: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined || name === 'help' || isHelp(name)) {
    terminal.write(usage())
    return name === undefined ? 2 : 0
  }
  if (name === '--version' || name === '-v') {
    terminal.write(`${await version()}\n`)
    return 0
  }
  const listed = COMMANDS.find((known) => known.name === name)
  if (!listed) {
    terminal.writeError(unknownCommand(name))
    return 2
  }
  const command = await listed.load()
  if (rest.some(isHelp)) {
    terminal.write(command.usage)
    return 0
  }
  return runCommand(command, rest, terminal)
}

/** The version of the installed package. */
async function version(): Promise<string> {
  return JSON.parse(await readFile(join(__dirname, '../../package.json'), 'utf8')).version
}

function unknownCommand(name: string): string {
  const names = COMMANDS.map((known) => known.name)
  const guess = closest(name, names)
  return guess === undefined
    ? `There is no command "${name}".\n\n${usage()}`
    : `There is no command "${name}". Did you mean "${guess}"?\n`
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

/** Our own error, or one of `parseArgs`, whose messages already name the fix. */
function isUsageError(error: unknown): error is Error {
  if (error instanceof UsageError) return true
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS_')
}

function isHelp(arg: string): boolean {
  return arg === '--help' || arg === '-h'
}

function usage(): string {
  const list = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(13)}${summary}`)
  return `Usage: ${PROGRAM} <command> [options]

Commands:
${list.join('\n')}

${PROGRAM} <command> --help explains its options.
${PROGRAM} --version prints the version.
`
}
