import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { BITBUCKET_ENDPOINTS, type Endpoints } from '../contract/options'
import { isLoopback } from '../contract/urls'
import { openGuide } from '../record/guide'
import type { Target } from '../record/observe'
import { answersOf, behaviourOf } from '../record/questions'
import { Recording } from '../record/recording'
import { RECORD_FORMAT } from '../testing/recorded-behaviour'
import { type Command, type Terminal, UsageError } from './command'
import { endpointsAt, originOf } from './doctor-command'

const USAGE = `Usage: passport-bitbucket-signin record [options]

Opens a local page that leads you through a dozen short visits to Bitbucket (deny, allow,
a wrong PKCE verifier, other callback URLs) and writes down how Bitbucket answers. Takes
about five minutes, eleven more if you wait for old tokens to expire. The record has
statuses, lengths, field and header names: no token, name, address or id.

You need an OAuth client with the callback URL below, and Account: Read ticked. The client
ID and secret are read from BITBUCKET_CLIENT_ID and BITBUCKET_CLIENT_SECRET; otherwise you
are asked for them.

Options:
  --callback-url <url>   Callback URL of the client, http on loopback. The page listens
                         there. Default http://127.0.0.1:3002/callback.
  --output <file>        Where to write the record. Default bitbucket-record.json.
  --bitbucket <address>  A stand-in for bitbucket.org, such as the fake Bitbucket.
  --authorization-url <url>, --token-url <url>, --api-url <url>
                         Another OAuth server; set all three.

startFakeBitbucket({ record: 'bitbucket-record.json' }) plays the record back.
`

/** `record`: records how Bitbucket treats a client. */
export const record: Command = {
  name: 'record',
  usage: USAGE,
  async run(args, terminal) {
    const { target, output } = await readTarget(args, terminal)
    const recording = new Recording(target)
    let isWritten = false
    const guide = await openGuide({
      recording,
      file: output,
      done: async () => {
        await writeRecord(output, recording)
        isWritten = true
        terminal.write(`Recorded in ${output}. Ctrl+C stops the recorder.\n`)
      },
    })
    terminal.write(`Open ${guide.url} in your browser. Ctrl+C stops the recorder.\n`)
    await terminal.untilStopped()
    await guide.close()
    if (!isWritten) terminal.writeError('Nothing was recorded, because the last step was not reached.\n')
    return isWritten ? 0 : 1
  },
}

async function readTarget(args: readonly string[], terminal: Terminal) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      'callback-url': { type: 'string', default: 'http://127.0.0.1:3002/callback' },
      output: { type: 'string', default: 'bitbucket-record.json' },
      bitbucket: { type: 'string' },
      'authorization-url': { type: 'string' },
      'token-url': { type: 'string' },
      'api-url': { type: 'string' },
    },
  })
  const target: Target = {
    ...endpointsOf(values),
    callbackURL: callbackOf(values['callback-url']),
    clientID: await credential('BITBUCKET_CLIENT_ID', 'Client ID (Key): ', terminal, false),
    clientSecret: await credential('BITBUCKET_CLIENT_SECRET', 'Secret (is not shown): ', terminal, true),
  }
  return { target, output: values.output }
}

function endpointsOf(values: Readonly<Record<string, string | undefined>>): Endpoints {
  const urls = ['authorization-url', 'token-url', 'api-url'].map((name) => values[name])
  const [authorizationURL, tokenURL, apiURL] = urls
  if (authorizationURL !== undefined && tokenURL !== undefined && apiURL !== undefined) {
    for (const [at, name] of ['--authorization-url', '--token-url', '--api-url'].entries())
      originOf(name, urls[at] ?? '')
    return { authorizationURL, tokenURL, apiURL: apiURL.replace(/\/$/, '') }
  }
  if (urls.some((url) => url !== undefined)) {
    throw new UsageError('--authorization-url, --token-url and --api-url belong together. Set all three.')
  }
  const { bitbucket } = values
  return bitbucket === undefined ? BITBUCKET_ENDPOINTS : endpointsAt(originOf('--bitbucket', bitbucket))
}

function callbackOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  const isUsable =
    url?.protocol === 'http:' && isLoopback(url.hostname) && /^\/[\w/-]*\w$/.test(url.pathname + url.search + url.hash)
  if (isUsable && !['/start', '/check', '/finish', '/error', '/skipped'].includes(url.pathname) && url.href === text) {
    return text
  }
  throw new UsageError(
    `--callback-url must be http on loopback with a path, such as http://127.0.0.1:3002/callback, not "${text}".`,
  )
}

async function credential(variable: string, question: string, terminal: Terminal, hidden: boolean): Promise<string> {
  const given = process.env[variable] || (await terminal.ask?.(question, { hidden }))?.trim()
  if (given) return given
  throw new UsageError(`${variable} is not set, and nothing was entered. Set it, or run the command in a terminal.`)
}

async function writeRecord(file: string, { target, observations }: Recording): Promise<void> {
  const record = {
    format: RECORD_FORMAT,
    recorded: new Date().toISOString().slice(0, 10),
    server: target.authorizationURL === BITBUCKET_ENDPOINTS.authorizationURL ? 'bitbucket.org' : 'another',
    client: { idLength: target.clientID.length, secretLength: target.clientSecret.length },
    answers: answersOf(observations),
    behaviour: behaviourOf(observations),
    observations,
  }
  await writeFile(file, `${JSON.stringify(record, null, 2)}\n`, { mode: 0o600 })
}
