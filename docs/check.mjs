// Opens every page of the built site in Chromium: links and anchors resolve, diagrams render, search works, axe-core is clean.
// Build first: `npm run docs:check` does both. CHROMIUM_PATH names a browser.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import AxeBuilder from '@axe-core/playwright'
import { chromium } from 'playwright-core'
import { packagedChromium } from '../test/browser/packaged-chromium.mjs'

const SITE = fileURLToPath(new URL('.vitepress/dist', import.meta.url))
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
}
const TIMEOUT_MS = 20_000

const problems = []
const server = createServer(serve).listen(0, '127.0.0.1')
await new Promise((resolve) => server.once('listening', resolve))
const origin = `http://127.0.0.1:${server.address().port}`
const executablePath = process.env.CHROMIUM_PATH ?? (await packagedChromium())
const browser = await chromium.launch({ executablePath, args: ['--headless', '--no-sandbox', '--disable-gpu'] })
try {
  const pages = await visitAll()
  checkAnchors(pages)
  await checkSearch()
  const diagrams = [...pages.values()].reduce((sum, page) => sum + page.diagrams, 0)
  if (diagrams === 0) problems.push('no diagram was rendered')
  console.log(`${pages.size} pages, ${diagrams} diagrams, ${problems.length} problems`)
} finally {
  await browser.close()
  server.close()
}
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exitCode = 1

/** What a static host with clean URLs sends. */
function serve(req, res) {
  const path = normalize(decodeURIComponent(new URL(req.url, 'http://site').pathname))
  const candidates = [path, `${path}.html`, join(path, 'index.html')].map((each) => join(SITE, each))
  const file = candidates.find((each) => existsSync(each) && statSync(each).isFile())
  res.writeHead(file ? 200 : 404, { 'content-type': TYPES[extname(file ?? '.html')] ?? 'application/octet-stream' })
  res.end(file ? readFileSync(file) : 'not found')
}

/** Every page that can be reached from the front page, with its links and ids. */
async function visitAll() {
  const pages = new Map()
  const waiting = ['/']
  const context = await browser.newContext()
  const page = await context.newPage()
  page.setDefaultTimeout(TIMEOUT_MS)
  page.on('pageerror', (error) => problems.push(`${page.url()}: ${error.message}`))
  page.on('request', (request) => {
    if (!/^(?:data:|blob:)/.test(request.url()) && !request.url().startsWith(origin))
      problems.push(`${page.url()} asks for ${request.url()}`)
  })
  while (waiting.length > 0) {
    const path = waiting.shift()
    if (pages.has(path)) continue
    const response = await page.goto(origin + path, { waitUntil: 'networkidle' })
    const found = await readPage(page)
    pages.set(path, found)
    if (response.status() !== 200) problems.push(`${path}: status ${response.status()}`)
    if (found.broken > 0) problems.push(`${path}: ${found.broken} pictures or diagrams are missing`)
    await checkAccessibility(page, path)
    for (const { path: next } of found.links) if (!pages.has(next)) waiting.push(next)
  }
  await context.close()
  return pages
}

async function readPage(page) {
  const fenced = await page.locator('.mermaid').count()
  if (fenced > 0)
    await page
      .locator('.mermaid svg')
      .nth(fenced - 1)
      .waitFor()
  return page.evaluate((fences) => {
    const anchors = [...document.querySelectorAll('a[href]')].map(({ href }) => new URL(href))
    const diagrams = [...document.querySelectorAll('.mermaid svg')]
    const pictures = [...document.querySelectorAll('main img')]
    const failed = diagrams.filter((svg) => svg.getAttribute('aria-roledescription') === 'error')
    const empty = pictures.filter((picture) => picture.complete && picture.naturalWidth === 0)
    return {
      ids: [...document.querySelectorAll('[id]')].map(({ id }) => id),
      links: anchors
        .filter((url) => url.origin === location.origin)
        .map(({ pathname, hash }) => ({ path: pathname, anchor: decodeURIComponent(hash.slice(1)) })),
      diagrams: diagrams.length,
      broken: failed.length + empty.length + fences - diagrams.length,
    }
  }, fenced)
}

async function checkAccessibility(page, path) {
  // Colours of highlighted code and of diagrams are those of their libraries.
  const { violations } = await new AxeBuilder({ page }).exclude('.mermaid').exclude('div[class*="language-"]').analyze()
  for (const { id, nodes } of violations)
    problems.push(`${path}: ${id}, ${nodes.length} ×, ${nodes[0].html.slice(0, 160)}`)
}

function checkAnchors(pages) {
  for (const [path, { links }] of pages) {
    for (const link of links) {
      if (link.anchor !== '' && !pages.get(link.path)?.ids.includes(link.anchor))
        problems.push(`${path}: no anchor ${link.path}#${link.anchor}`)
    }
  }
}

async function checkSearch() {
  const page = await browser.newPage()
  page.setDefaultTimeout(TIMEOUT_MS)
  await page.goto(`${origin}/`, { waitUntil: 'networkidle' })
  await page.locator('.VPNavBarSearch button').first().click()
  await page.locator('.search-input').fill('workspace')
  await page.locator('.results .result').first().click()
  await page.waitForURL((url) => url.pathname !== '/')
  // The URL changes before the page does.
  const found = page.locator('main', { hasText: /workspace/i })
  await found.waitFor().catch(() => problems.push(`search: ${page.url()}, found for "workspace", has no such word`))
}
