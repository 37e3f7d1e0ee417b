import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import type { FakeProfile } from '../testing/behaviour'
import { type FakeBitbucket, type FakeBitbucketOptions, startFakeBitbucket } from '../testing/fake-bitbucket'
import { type FakePersonOptions, People } from '../testing/people'
import { FAKE_CLIENT } from '../testing/world'
import { type Command, type Terminal, UsageError } from './command'

const USAGE = `Usage: passport-bitbucket-signin fake [options]

Starts a fake Bitbucket on this machine, so that you can develop and try an app without
a Bitbucket account. Ctrl+C stops it; nothing is kept.

Options:
  --port <number>         Port to listen on, 0 for any free one. Default 3001.
  --people <file>         JSON file with the people who can sign in. Default: seven who
                          cover the usual and the unusual cases.
  --client-id <key>       Key of the OAuth client. Default ${FAKE_CLIENT.clientID}.
  --client-secret <text>  Its secret. Default ${FAKE_CLIENT.clientSecret}.
  --callback-url <url>    Its callback URL, compared as strictly as Bitbucket does.
                          Default: any URL on loopback.
  --latency <ms>          Time added to each answer. Default 0.
  --profile <name>        How it behaves where Bitbucket is not documented: bitbucket
                          (default), platform or legacy.
  --record <file>         Behave as recorded by the command record.
  --remember-consent      Redirect a browser that has allowed the app straight back, as
                          Bitbucket does. The fake's front page signs out.
  --host <address>        Address to listen on. Default 127.0.0.1. Anyone who reaches the
                          fake can sign in as any user.

A people file is a JSON array; only "key" is needed:
  [{ "key": "alice" },
   { "key": "bob", "displayName": "Bob Baker",
     "emails": [{ "address": "bob@example.com", "primary": true, "confirmed": false }],
     "workspaces": [{ "slug": "acme", "permission": "owner" }] }]
`

/** `fake`: runs the fake Bitbucket until it is stopped. */
export const fake: Command = {
  name: 'fake',
  usage: USAGE,
  async run(args, terminal) {
    const options = await readOptions(args)
    const server = await start(options, terminal)
    if (!server) return 1
    terminal.write(greeting(server))
    await terminal.untilStopped()
    await server.close()
    return 0
  },
}

async function start(options: FakeBitbucketOptions, terminal: Terminal): Promise<FakeBitbucket | undefined> {
  try {
    return await startFakeBitbucket(options)
  } catch (error) {
    terminal.writeError(`${error instanceof Error ? error.message : String(error)}\n`)
    return undefined
  }
}

async function readOptions(args: readonly string[]): Promise<FakeBitbucketOptions> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      port: { type: 'string', default: '3001' },
      host: { type: 'string' },
      people: { type: 'string' },
      latency: { type: 'string', default: '0' },
      'client-id': { type: 'string', default: FAKE_CLIENT.clientID },
      'client-secret': { type: 'string', default: FAKE_CLIENT.clientSecret },
      'callback-url': { type: 'string', default: '*' },
      'remember-consent': { type: 'boolean', default: false },
      profile: { type: 'string' },
      record: { type: 'string' },
    },
  })
  return {
    port: readNumber('--port', values.port),
    latencyMs: readNumber('--latency', values.latency),
    ...(values.host !== undefined && { host: values.host }),
    ...(values.people !== undefined && { people: await readPeople(values.people) }),
    clients: [
      {
        ...FAKE_CLIENT,
        clientID: values['client-id'],
        clientSecret: values['client-secret'],
        callbackURL: values['callback-url'],
      },
    ],
    ...(values.profile !== undefined && { profile: values.profile as FakeProfile }),
    ...(values.record !== undefined && { record: values.record }),
    behaviour: { rememberConsent: values['remember-consent'] },
  }
}

function readNumber(option: string, text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text)
  throw new UsageError(`${option} must be a number, not "${text}".`)
}

/** The people of the file, validated here so that an error can name the file. */
async function readPeople(file: string): Promise<readonly FakePersonOptions[]> {
  const people = parsePeople(file, await readText(file))
  try {
    return new People(people).all.length > 0 ? people : refuseEmpty()
  } catch (error) {
    throw new UsageError(`${file}: ${(error as Error).message}`)
  }
}

function refuseEmpty(): never {
  throw new TypeError('It is empty. Add at least { "key": "alice" }.')
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new UsageError(code === 'ENOENT' ? `There is no file ${file}.` : `${file} cannot be read (${code}).`)
  }
}

function parsePeople(file: string, text: string): readonly FakePersonOptions[] {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new UsageError(`${file} is not JSON: ${(error as Error).message}`)
  }
}

function greeting({ url, endpoints, clients, people }: FakeBitbucket): string {
  const client = clients[0] ?? FAKE_CLIENT
  const callbackURL = client.callbackURL === '*' ? 'http://localhost:3000/auth/bitbucket/callback' : client.callbackURL
  return `Fake Bitbucket for development on ${url} (Ctrl+C stops it)

  connection: {
    clientID: '${client.clientID}',
    clientSecret: '${client.clientSecret}',
    callbackURL: '${callbackURL}',
    endpoints: {
      authorizationURL: '${endpoints.authorizationURL}',
      tokenURL: '${endpoints.tokenURL}',
      apiURL: '${endpoints.apiURL}',
    },
  },

People: ${people.map(({ key }) => key).join(', ')}
`
}
