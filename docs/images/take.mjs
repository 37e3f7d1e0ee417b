// Takes the screenshots of the README: build first, then `node docs/images/take.mjs`. CHROMIUM_PATH names a browser.
// They are shipped: make them small afterwards, with `pngquant --ext .png --force --strip 256 docs/images/*.png`.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { deflateSync } from 'node:zlib'
import { chromium } from 'playwright-core'
import { packagedChromium } from '../../test/browser/packaged-chromium.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const data = mkdtempSync(join(tmpdir(), 'screenshots-'))
const [port, fakePort] = [4310, 4311]
const url = `http://localhost:${port}`
const env = { ...process.env, PORT: port, FAKE_BITBUCKET_PORT: fakePort, DATA_DIR: data, BASE_URL: url }
const app = spawn(process.execPath, ['example-app/dist/server.js'], {
  cwd: root,
  env,
  stdio: ['ignore', 'pipe', 'inherit'],
})
await new Promise((resolve) => app.stdout.on('data', (chunk) => String(chunk).includes('ready') && resolve()))

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_PATH || (await packagedChromium()),
  args: ['--headless', '--no-sandbox'],
})
const page = await browser.newPage({ viewport: { width: 640, height: 620 } })
const canvas = await browser.newPage()
const shoot = async (name) => {
  const shot = (await page.screenshot()).toString('base64')
  const picture = await canvas.evaluate(paint, shot)
  writeFileSync(join(root, `docs/images/${name}.png`), png(picture))
}
try {
  await page.goto(`${url}/sign-in`)
  await shoot('sign-in')
  await page.getByRole('link', { name: 'Sign in with Bitbucket' }).click()
  await page.getByLabel('Alice Archer').check()
  await shoot('consent')
  await page.getByRole('button', { name: 'Allow' }).click()
  await shoot('code')
  const mailbox = await browser.newPage()
  await mailbox.goto(`${url}/dev/mailbox`)
  const [code] = /[B-Z]{4}-[B-Z]{4}/.exec(await mailbox.innerText('body')) ?? []
  await page.getByLabel('Code from the email').fill(code)
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.goto(`${url}/account`)
  await shoot('account')
} finally {
  await browser.close()
  app.kill()
  rmSync(data, { recursive: true, force: true })
}

/** Runs in the browser: a screenshot with no more than 256 colors, as indexes. The npm package carries these files. */
async function paint(shot) {
  const { createImageBitmap, fetch, OffscreenCanvas } = globalThis
  const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${shot}`)).blob())
  const { width, height } = bitmap
  const context = new OffscreenCanvas(width, height).getContext('2d')
  context.drawImage(bitmap, 0, 0)
  const { data } = context.getImageData(0, 0, width, height)
  const pixels = Array.from({ length: width * height }, (_, at) => data.subarray(at * 4, at * 4 + 3).join())
  const counts = new Map()
  for (const color of pixels) counts.set(color, (counts.get(color) ?? 0) + 1)
  const colors = [...counts].sort(([, a], [, b]) => b - a).map(([color]) => color.split(',').map(Number))
  const palette = colors.slice(0, 256)
  const distance = (one, other) => one.reduce((sum, value, channel) => sum + (value - other[channel]) ** 2, 0)
  const nearest = (color) =>
    palette.reduce((best, each, at) => (distance(color, each) < distance(color, palette[best]) ? at : best), 0)
  const indexes = new Map(colors.map((color, at) => [color.join(), at < 256 ? at : nearest(color)]))
  return { width, height, palette, indexes: pixels.map((color) => indexes.get(color)) }
}

/** A PNG with a palette. @see https://www.w3.org/TR/png-3/ */
function png({ width, height, palette, indexes }) {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 3, 0, 0, 0], 8)
  const rows = Array.from({ length: height }, (_, row) => [0, ...indexes.slice(row * width, (row + 1) * width)])
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', header),
    chunk('PLTE', Buffer.from(palette.flat())),
    chunk('IDAT', deflateSync(Buffer.from(rows.flat()), { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function chunk(type, body) {
  const content = Buffer.concat([Buffer.from(type), body])
  const numbers = Buffer.alloc(8)
  numbers.writeUInt32BE(body.length, 0)
  numbers.writeUInt32BE(crc32(content), 4)
  return Buffer.concat([numbers.subarray(0, 4), content, numbers.subarray(4)])
}

function crc32(bytes) {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}
