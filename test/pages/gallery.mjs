/**
 * `npm run pages`: draws every built-in page in each width, colour scheme and language, with a brand and without, as
 * contact sheets to look at. `npm run pages -- /tmp/gallery` names the folder; default `reports/pages`.
 */
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runnerImport } from 'vite'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const load = async (path) => (await runnerImport(here(path))).module
const { samplePages, errorPage } = await load('./sample-pages.ts')
const { launchChromium } = await load('../browser/chromium.ts')
const require = createRequire(import.meta.url)
const { renderDefaultPage } = require('../../dist/pages/render.js')
const { english } = require('../../dist/pages/texts-en.js')
const { german } = require('../../dist/index.js')

const folder = resolve(process.argv[2] ?? here('../../reports/pages'))
const LOGO = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#36b37e"/></svg>`
const BRANDS = { plain: null, brand: { name: 'Corkboard for Acme & Søn', logo: '/logo.svg', accent: '#36b37e' } }
const LANGUAGES = { en: english, de: german }
/** The middle of the wide page is enough to see. */
const WIDTHS = { 1280: { seen: 540, high: 760, columns: 4 }, 360: { seen: 360, high: 860, columns: 5 } }
const ROWS = 2

const documents = new Map([['/logo.svg', { type: 'image/svg+xml', body: LOGO }]])
const server = createServer((request, response) => {
  const { type = 'text/html; charset=utf-8', body = '' } = documents.get(request.url) ?? {}
  response.writeHead(200, { 'content-type': type }).end(body)
})
await new Promise((done) => server.listen(0, '127.0.0.1', done))
const origin = `http://127.0.0.1:${server.address().port}`

/** One frame for each page, with its name below. */
function sheet(pages, width, { seen, high, columns }) {
  const frame = ([name, path]) =>
    `<figure><div><iframe src="${path}" width="${width}" height="${high}"></iframe></div><figcaption>${name}</figcaption></figure>`
  return `<!doctype html><meta name="color-scheme" content="light dark"><style>
body{margin:0;display:grid;grid-template-columns:repeat(${columns},${seen}px);gap:8px;width:max-content;font:16px sans-serif}
figure{margin:0}div{width:${seen}px;overflow:hidden;display:flex;justify-content:center}iframe{flex:none;border:0}</style>${pages.map(frame).join('')}`
}

function pagesOf(texts, brand) {
  const samples = Object.entries(samplePages(texts)).filter(([name]) => name !== 'resume')
  const errors = Object.keys(texts.errors).map((code) => [code, { ...errorPage(texts, code), retryHref: '/again' }])
  // Every code looks alike but for its words, so one look shows them.
  return brand === null ? { pages: samples, errors } : { pages: samples }
}

await mkdir(folder, { recursive: true })
const browser = await launchChromium()
for (const colorScheme of ['light', 'dark'])
  for (const [width, frame] of Object.entries(WIDTHS))
    for (const [language, texts] of Object.entries(LANGUAGES))
      for (const [look, brand] of Object.entries(BRANDS))
        for (const [kind, pages] of Object.entries(pagesOf(texts, brand))) {
          if (kind === 'errors' && (colorScheme === 'dark' || width === '360')) continue
          await shoot(`${kind}-${language}-${width}-${colorScheme}-${look}`, pages, {
            width,
            frame,
            colorScheme,
            brand,
          })
        }
await browser.close()
server.close()
process.stdout.write(`${folder}\n`)

async function shoot(name, pages, { width, frame, colorScheme, brand }) {
  const page = await browser.newPage({ colorScheme })
  const paths = pages.map(([each, content]) => {
    const path = `/${name}/${encodeURIComponent(each)}`
    documents.set(path, { body: renderDefaultPage({ ...content, brand }) })
    return [each, path]
  })
  const perSheet = frame.columns * ROWS
  for (let from = 0; from < paths.length; from += perSheet) {
    documents.set('/sheet', { body: sheet(paths.slice(from, from + perSheet), width, frame) })
    await page.goto(`${origin}/sheet`)
    await page.locator('body').screenshot({ path: join(folder, `${name}-${1 + from / perSheet}.png`) })
  }
  await page.close()
}
