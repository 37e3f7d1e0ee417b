import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const PACKAGE = new URL('../../package.json', import.meta.url)
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/chromium', import.meta.url))
const UNPACK = "import('@sparticuz/chromium').then(({ default: chromium }) => chromium.executablePath())"

/**
 * Path of the browser in @sparticuz/chromium, unpacked under this checkout. The package itself unpacks to a fixed path in
 * the shared temporary folder, where another user of the machine owns it, or could have planted it. Sets the environment
 * that the browser starts with.
 */
export async function packagedChromium() {
  // Pinned exactly, so the folder of another version is never taken for this one.
  const { devDependencies } = JSON.parse(readFileSync(PACKAGE, 'utf8'))
  const folder = await unpackOnce(devDependencies['@sparticuz/chromium'])
  process.env.FONTCONFIG_PATH = join(folder, 'fonts')
  const libraries = join(folder, 'al2023', 'lib')
  process.env.LD_LIBRARY_PATH = [libraries, process.env.LD_LIBRARY_PATH].filter(Boolean).join(':')
  return join(folder, 'chromium')
}

/** Unpacks beside its final place and renames, so that parallel test processes never see half a browser. */
async function unpackOnce(version) {
  const final = join(CACHE, version)
  if (existsSync(final)) return final
  const staging = stagingFolder()
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', UNPACK], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    // The shared libraries, which a bare system lacks, are unpacked only where this is set.
    env: { ...process.env, TMPDIR: staging, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs22.x' },
  })
  chmodSync(join(staging, 'chromium'), 0o755)
  // Its own configuration names a fixed path in the temporary folder.
  writeFileSync(join(staging, 'fonts', 'fonts.conf'), FONTS)
  if (!staging.startsWith(CACHE)) return staging
  chmodSync(staging, 0o755)
  try {
    renameSync(staging, final)
  } catch {
    // Another process was first.
    rmSync(staging, { recursive: true, force: true })
  }
  return final
}

/** In a checkout that another user owns, a private temporary folder of this process. */
function stagingFolder() {
  try {
    mkdirSync(CACHE, { recursive: true })
    return mkdtempSync(join(CACHE, 'unpacking-'))
  } catch {
    const folder = mkdtempSync(join(tmpdir(), 'chromium-'))
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
    return folder
  }
}

const FONTS = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`
