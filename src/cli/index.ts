#!/usr/bin/env node
import { Writable } from 'node:stream'
import { dispatch } from './dispatch'

const terminal = {
  write: (text: string) => void process.stdout.write(text),
  writeError: (text: string) => void process.stderr.write(text),
  untilStopped: () =>
    new Promise<void>((resolve) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
    }),
  ask,
}

/** Lines that arrived together with an earlier answer, as from a pipe. */
const typedAhead: string[] = []

async function ask(question: string, { hidden = false } = {}): Promise<string | null> {
  process.stderr.write(question)
  const answer = typedAhead.shift() ?? (await readLine(hidden))
  if (hidden || answer === null) process.stderr.write('\n')
  return answer
}

async function readLine(hidden: boolean): Promise<string | null> {
  const { createInterface } = require('node:readline') as typeof import('node:readline')
  // A reader echoes input to its output: nowhere if the answer is hidden.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({
    input: process.stdin,
    output: hidden ? nowhere : process.stderr,
    terminal: process.stdin.isTTY === true,
  })
  lines.on('line', (line) => typedAhead.push(line))
  // There is no line at the end of the input or after Ctrl+C.
  await new Promise<void>((resolve) => {
    lines
      .once('line', () => resolve())
      .once('close', resolve)
      .once('SIGINT', resolve)
  })
  lines.close()
  return typedAhead.shift() ?? null
}

dispatch(process.argv.slice(2), terminal).then(
  (code) => {
    process.exitCode = code
    // A module loaded by `check-hooks` may have left connections open.
    setTimeout(() => process.exit(), 1000).unref()
  },
  (error: unknown) => {
    terminal.writeError(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  },
)
