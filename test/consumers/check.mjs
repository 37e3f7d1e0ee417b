// npm run check:consumers: packs the package and uses the tarball as its users do. Needs the registry.
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { consumer } from './lib/folders.mjs'
import { run } from './lib/run.mjs'
import { installed, isTypes, megabytes } from './lib/sizes.mjs'
import { checkTarball } from './lib/tarball.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const project = fileURLToPath(new URL('../..', import.meta.url))
const root = mkdtempSync(join(tmpdir(), 'consumers-'))
const results = []
const only = process.argv[2]

/** Runs one check and prints a line. After a failure the others continue. */
async function step(name, work) {
  // The first pair is what later steps run in.
  if (only && !name.includes(only) && !name.startsWith('CommonJS and ESM: express 5,')) return
  const start = performance.now()
  try {
    const told = await work()
    results.push(true)
    console.log(`ok    ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)${told ? `\n      ${told}` : ''}`)
  } catch (error) {
    results.push(false)
    console.error(`FAIL  ${name}\n${error.message}`)
  }
}

const tarball = await pack()

await step('tarball: contents', async () => {
  const { files, bytes } = await checkTarball(root, tarball)
  const kinds = [...group(files, kindOf)]
  return `${files.length} files, ${megabytes(bytes)} unpacked: ${kinds.map(([kind, list]) => `${list.length} ${kind}`).join(', ')}`
})
await step('publint --strict', () => tool('publint', ['--strict', tarball]))
await step('arethetypeswrong, profile node16', () => tool('attw', ['--profile', 'node16', '--no-emoji', tarball]))

const runtime = ['express-session@1.19.0']
const FIXTURES = ['journey.cjs', 'commonjs.cjs', 'module.mjs']
const pairs = [
  ['express 5, passport 0.7', ['express@5.3.0', 'passport@0.7.0']],
  ['express 4.22, passport 0.7', ['express@4.22.3', 'passport@0.7.0']],
  ['express 4.19, passport 0.6', ['express@4.19.0', 'passport@0.6.0']],
]
let newest
for (const [name, packages] of pairs) {
  await step(`CommonJS and ESM: ${name}`, async () => {
    const folder = await consumer(root, slug(name), [tarball, ...packages, ...runtime], FIXTURES)
    newest ??= folder
    return told(
      await run('node', ['commonjs.cjs'], { cwd: folder }),
      await run('node', ['module.mjs'], { cwd: folder }),
    )
  })
}

await step('command line', async () => {
  const cli = ['passport-bitbucket-signin']
  assert.match(await run('npx', ['--no-install', ...cli, 'fake', '--help'], { cwd: newest }), /--people/)
  const output = await run('npx', ['--no-install', ...cli, 'doctor', '--json'], { cwd: newest })
  const report = JSON.parse(output.slice(output.indexOf('{')))
  assert.equal(report.ok, true)
})

for (const version of ['20.19.0', '20', '22', '24', '26']) {
  await step(`Node ${version}`, async () => {
    const npx = ['-y', '-p', `node@${version}`, '-c']
    return told(
      await run('npx', [...npx, 'node commonjs.cjs'], { cwd: newest }),
      await run('npx', [...npx, 'node module.mjs'], { cwd: newest }),
    )
  })
}

await step('Jest 30, CommonJS', async () => {
  const packages = [tarball, 'express@5.3.0', 'passport@0.7.0', ...runtime, 'jest@30.5.2']
  const folder = await consumer(root, 'jest', packages, ['journey.cjs', 'jest.test.js'])
  assert.match(await run('npx', ['--no-install', 'jest'], { cwd: folder }), /1 passed/)
})

/** No types but those the package brings, and skipLibCheck off: whatever its declarations need must come with it. */
for (const typescript of ['5.9.3', '7.0.2']) {
  for (const express of ['5.3.0', '4.22.3']) {
    const types = express.startsWith('4') ? ['@types/express@4.17.25'] : []
    await step(
      `TypeScript ${typescript}, express ${express}: module node16, nodenext, bundler as CommonJS and ESM`,
      async () => {
        const name = `ts-${typescript}-${express}`
        const packages = [tarball, `express@${express}`, 'passport@0.7.0', `typescript@${typescript}`, ...types]
        const folder = await consumer(root, name, packages, [])
        for (const type of ['commonjs', 'module']) {
          for (const module of ['node16', 'nodenext', 'bundler']) await typecheck(folder, type, module)
        }
        // What `module: commonjs` means to TypeScript 5, as in older NestJS and Jest setups: it reads no `exports`.
        if (typescript.startsWith('5.')) await typecheck(folder, 'commonjs', 'node10')
      },
    )
  }
}

await step('packages and sizes', async () => {
  const base = await consumer(root, 'size-base', ['express@5.3.0', 'passport@0.7.0', ...runtime], [])
  const before = installed(base)
  const added = [...installed(newest)].filter(([name]) => !before.has(name))
  const total = (list) => list.reduce((sum, [, bytes]) => sum + bytes, 0)
  const types = added.filter(([name]) => isTypes(name))
  const code = added.filter(([name]) => !isTypes(name))
  assert.ok(code.length <= 8, `${code.length} packages are more than 8: ${code.map(([name]) => name)}`)
  assert.ok(total(code) <= 9.8e6, `${megabytes(total(code))} are more than 9.8 MB`)
  return [
    `${code.length} packages, ${megabytes(total(code))} beyond express, passport and express-session:`,
    ...code.map(([name, bytes]) => `  ${name} ${megabytes(bytes)}`),
    `${types.length} type packages, ${megabytes(total(types))}`,
  ].join('\n      ')
})

rmSync(root, { recursive: true })
const failed = results.filter((passed) => !passed).length
console.log(`\n${results.length - failed} of ${results.length} passed.`)
process.exitCode = failed === 0 ? 0 : 1

async function pack() {
  const output = await run('npm', ['pack', '--json', '--pack-destination', root], { cwd: project })
  const file = basename(/[\w.-]+\.tgz/.exec(output)?.[0] ?? '')
  return join(root, file)
}

async function tool(name, args) {
  await run(join(here, 'node_modules/.bin', name), args, { cwd: project })
}

async function typecheck(folder, type, module) {
  const name = `${type}-${module}`
  mkdirSync(join(folder, name))
  const settings = {
    bundler: { module: type === 'module' ? 'esnext' : 'preserve', moduleResolution: 'bundler' },
    node10: { module: 'commonjs', moduleResolution: 'node10' },
  }[module] ?? { module }
  const compilerOptions = {
    ...settings,
    target: 'es2022',
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: false,
    esModuleInterop: true,
    types: ['node'],
  }
  writeFileSync(join(folder, name, 'package.json'), JSON.stringify({ type }))
  writeFileSync(join(folder, name, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }))
  cpSync(join(here, 'fixtures/app.ts'), join(folder, name, 'app.ts'))
  await run('npx', ['--no-install', 'tsc', '-p', name], { cwd: folder })
}

function kindOf(file) {
  if (/\.d\.m?ts$/.test(file)) return 'declarations'
  return file.startsWith('dist/') ? 'modules' : 'documents'
}

function group(list, keyOf) {
  const groups = new Map()
  for (const each of list) groups.set(keyOf(each), [...(groups.get(keyOf(each)) ?? []), each])
  return groups
}

function slug(name) {
  return name.replace(/[^a-z0-9.]+/g, '-')
}

function told(...outputs) {
  return outputs.map((output) => /signed in: .*/.exec(output)?.[0] ?? assert.fail(output)).join('; ')
}
