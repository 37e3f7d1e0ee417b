import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'
import { packagedChromium } from './packaged-chromium.mjs'

/** Where a Chromium, Chrome or Edge is usually installed. */
const INSTALLED = [
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
  '/usr/bin/microsoft-edge',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe',
]

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
 * A browser for the tests: the one `CHROMIUM_PATH` names, otherwise an installed Chromium, Chrome or Edge, otherwise the
 * one in the devDependency @sparticuz/chromium (Linux x64). Close it when done.
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
  const installed = INSTALLED.find((path) => existsSync(path))
  if (installed !== undefined) return installed
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error(`No browser found. ${HOW_TO_GET_ONE}`)
  return packagedChromium().catch((cause: unknown) => {
    throw new Error(`No browser for the tests. ${HOW_TO_GET_ONE}`, { cause })
  })
}

const HOW_TO_GET_ONE =
  'Install Chrome, Edge or Chromium, or set CHROMIUM_PATH to one. On Linux x64 `npm ci` installs one (@sparticuz/chromium).'
