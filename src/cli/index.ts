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

async function ask(question: string, { hidden = false } = {}): Promise<string | null> {
  const { createInterface } = require('node:readline') as typeof import('node:readline')
  process.stderr.write(question)
  // The reader echoes what is typed to its output: into nothing if the answer is hidden.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({
    input: process.stdin,
    output: hidden ? nowhere : process.stderr,
    terminal: process.stdin.isTTY === true,
  })
  // At the end of the input a reader closes without a line.
  const answer = await new Promise<string | null>((resolve) => {
    lines
      .once('line', resolve)
      .once('close', () => resolve(null))
      .once('SIGINT', () => resolve(null))
  })
  lines.close()
  if (hidden) process.stderr.write('\n')
  return answer
}

dispatch(process.argv.slice(2), terminal).then(
  (code) => {
    process.exitCode = code
  },
  (error: unknown) => {
    terminal.writeError(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  },
)
