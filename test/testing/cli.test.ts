import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FAKE_CLIENT, startFakeBitbucket } from 'passport-bitbucket-signin/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dispatch } from '../../src/cli/dispatch'
import { send } from './client'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fake-bitbucket-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Runs a command line; `whileRunning` is called when it waits for Ctrl+C, and its end is the Ctrl+C. */
async function run(args: readonly string[], whileRunning: (output: string) => Promise<void> = async () => undefined) {
  let output = ''
  let errors = ''
  const code = await dispatch(args, {
    write: (text) => {
      output += text
    },
    writeError: (text) => {
      errors += text
    },
    untilStopped: () => whileRunning(output),
  })
  return { code, output, errors }
}

async function fileWith(text: string): Promise<string> {
  const file = join(folder, 'people.json')
  await writeFile(file, text)
  return file
}

const urlIn = (output: string) => /http:\/\/127\.0\.0\.1:\d+/.exec(output)?.[0] ?? 'none'

describe('fake', () => {
  it('runs until it is stopped, and prints what to paste into the connection', async () => {
    let url = ''
    const { code, output } = await run(['fake', '--port', '0'], async (greeting) => {
      url = urlIn(greeting)
      expect((await send(url)).text).toContain('Alice Archer')
    })
    expect(code).toBe(0)
    expect(output).toContain(`clientID: '${FAKE_CLIENT.clientID}'`)
    expect(output).toContain(`apiURL: '${url}/2.0'`)
    expect(output).toContain('People: alice, bob')
    await expect(send(url)).rejects.toThrow('ECONNREFUSED')
  })

  it('reads people from a file', async () => {
    const file = await fileWith('[{ "key": "zoë" }, { "key": "yan", "emails": [] }]')
    const { output } = await run(['fake', '--port=0', '--people', file])
    expect(output).toContain('People: zoë, yan')
  })

  it('accepts another client, and matches its callback exactly', async () => {
    const options = ['--client-id', 'k', '--client-secret', 's', '--callback-url', 'https://app.example.com/cb']
    const { code } = await run(['fake', '--port', '0', ...options], async (greeting) => {
      expect(greeting).toContain("clientSecret: 's'")
      const authorize = `${urlIn(greeting)}/site/oauth2/authorize?response_type=code&client_id=k&redirect_uri=`
      expect((await send(authorize + encodeURIComponent('https://app.example.com/cb'))).status).toBe(200)
      expect((await send(authorize + encodeURIComponent('http://localhost/cb'))).status).toBe(400)
    })
    expect(code).toBe(0)
  })

  it('remembers consent and adds latency when asked to', async () => {
    await run(['fake', '--port', '0', '--remember-consent', '--latency', '50'], async (greeting) => {
      const start = performance.now()
      const answer = await send(
        `${urlIn(greeting)}/site/oauth2/authorize?response_type=code&client_id=${FAKE_CLIENT.clientID}&redirect_uri=http://localhost/cb`,
        {
          method: 'POST',
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          body: 'person=alice&decision=allow',
        },
      )
      expect(performance.now() - start).toBeGreaterThan(45)
      expect(answer.headers['set-cookie']).toHaveLength(1)
    })
  })

  it.each([
    [['--profile', 'platfrom'], 'There is no profile "platfrom". Did you mean "platform"?'],
    [['--record', 'none.json'], '"record": none.json cannot be read (ENOENT).'],
    [['--record', 'package.json'], 'package.json is not a record of'],
    [['--record', 'README.md'], '"record": README.md is not JSON.'],
  ])('ends with 1 and the reason for %j', async (args, message) => {
    const { code, errors } = await run(['fake', '--port', '0', ...args])
    expect([code, errors.includes(message)]).toEqual([1, true])
  })

  it('starts in a profile', async () => {
    const { code } = await run(['fake', '--port', '0', '--profile', 'platform'], async (greeting) => {
      // The profile "platform" refuses a request without redirect_uri.
      const url = `${urlIn(greeting)}/site/oauth2/authorize?response_type=code&client_id=${FAKE_CLIENT.clientID}`
      expect((await send(url)).text).toContain('The request names none.')
    })
    expect(code).toBe(0)
  })

  it('ends with 1 and the reason when the port is taken', async () => {
    const other = await startFakeBitbucket()
    const { port } = new URL(other.url)
    const { code, errors } = await run(['fake', '--port', port])
    await other.close()
    expect([code, errors]).toEqual([1, `Port ${port} on 127.0.0.1 is taken. Choose another, or 0 for any free one.\n`])
  })

  it.each([
    ['is not there', undefined, 'There is no file'],
    ['is a folder', '.', 'cannot be read (EISDIR)'],
    ['is not JSON', '[{ key: alice }]', 'people.json is not JSON: '],
    ['is not an array', '{ "key": "alice" }', 'people.json: "people" must be an array.'],
    ['is empty', '[]', 'people.json: It is empty.'],
    ['has a person without a key', '[{ "displayName": "A" }]', `people.json: A person's "key" must be`],
    ['has a misspelt field', '[{ "key": "a", "email": [] }]', 'Person "a" has no "email". Did you mean "emails"?'],
  ])('ends with 2 and the reason when the people file %s', async (_what, content, message) => {
    const path = content === undefined ? join(folder, 'none.json') : content === '.' ? folder : await fileWith(content)
    const { code, errors } = await run(['fake', '--people', path])
    expect(code).toBe(2)
    expect(errors).toContain(message)
    expect(errors).toContain('See: passport-bitbucket-signin fake --help')
  })

  it.each([
    [['--port', 'x'], '--port must be a number, not "x".'],
    [['--latency=fast'], '--latency must be a number, not "fast".'],
    [['--prot', '1'], "Unknown option '--prot'"],
    [['extra'], "Unexpected argument 'extra'"],
    [['--people'], "Option '--people <value>' argument missing"],
  ])('ends with 2 and the reason for %j', async (args, message) => {
    const { code, errors } = await run(['fake', ...args])
    expect([code, errors.includes(message)]).toEqual([2, true])
  })

  it('prints its options', async () => {
    for (const flag of ['--help', '-h']) {
      const { code, output } = await run(['fake', '--port', '1', flag])
      expect([code, output.includes('--remember-consent')]).toEqual([0, true])
    }
  })
})

describe('the command line', () => {
  it.each([
    [['--help'], 0],
    [['-h'], 0],
    [['help'], 0],
    [[], 2],
  ])('lists its commands for %j', async (args, expected) => {
    const { code, output } = await run(args)
    expect([code, output.includes('  fake ')]).toEqual([expected, true])
  })

  it.each([
    ['fak', 'fake'],
    ['fkae', 'fake'],
    ['FAKE', 'fake'],
    ['doc', 'doctor'],
    ['docter', 'doctor'],
  ])('suggests the command that %s most likely meant', async (typed, meant) => {
    const { code, errors } = await run([typed])
    expect([code, errors]).toEqual([2, `There is no command "${typed}". Did you mean "${meant}"?\n`])
  })

  it('lists its commands if the one typed is like none of them', async () => {
    const { code, errors } = await run(['serve-everything'])
    expect(code).toBe(2)
    expect(errors).toContain('There is no command "serve-everything".')
    expect(errors).toContain('Start a fake Bitbucket')
  })

  it.each(['--version', '-v'])('prints the version of the package for %s', async (flag) => {
    const { version } = JSON.parse(await readFile(join(__dirname, '../../package.json'), 'utf8'))
    expect(await run([flag])).toEqual({ code: 0, output: `${version}\n`, errors: '' })
  })
})
