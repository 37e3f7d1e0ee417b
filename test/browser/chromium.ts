import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const SYSTEM_CHROMIUM = '/usr/bin/chromium'

// Our own and not those of @sparticuz/chromium: its list is made for pages without a sandbox or origins to protect,
// and would switch off some of what the tests are about. The rest keeps the browser from calling home.
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/**
 * A Chromium for the browser tests: the one that `CHROMIUM_PATH` names, else the system's, else the one in the
 * devDependency @sparticuz/chromium. Close it when done.
 */
export async function launchChromium(): Promise<Browser> {
  const executablePath = await findChromium()
  return chromium.launch({ executablePath, args: FLAGS, headless: true })
}

/** Path of that Chromium. */
export async function findChromium(): Promise<string> {
  const named = process.env.CHROMIUM_PATH
  if (named !== undefined && named !== '') {
    if (!existsSync(named)) throw new Error(`CHROMIUM_PATH names ${named}, which does not exist. ${HOW_TO_GET_ONE}`)
    return named
  }
  if (existsSync(SYSTEM_CHROMIUM)) return SYSTEM_CHROMIUM
  return unpackedChromium()
}

async function unpackedChromium(): Promise<string> {
  // Makes the package unpack the shared libraries too, which a bare system lacks. Read when it is imported.
  process.env.AWS_EXECUTION_ENV ??= 'AWS_Lambda_nodejs22.x'
  try {
    const { default: packaged } = await import('@sparticuz/chromium')
    return await packaged.executablePath()
  } catch (cause) {
    throw new Error(`No Chromium for the browser tests. ${HOW_TO_GET_ONE}`, { cause })
  }
}

const HOW_TO_GET_ONE =
  'Run `npm ci` on Linux x64 (it brings @sparticuz/chromium), or install a Chromium or Chrome and name it in CHROMIUM_PATH.'
