/**
 * Prints the CPU that it takes to load one contender and to have its app ready, in milliseconds. Its id is the argument;
 * `express` is the app without any of them.
 */
import { createRequire } from 'node:module'
import { createBaseApp } from '../contenders/base-app.mjs'
import { contenders } from '../contenders/index.mjs'
import { openStore } from '../lib/store.mjs'

console.warn = () => {}
const plain = { imports: [], load: () => ({ createApp: (surroundings) => createBaseApp(surroundings, {}) }) }
const contender = contenders.find(({ id }) => id === process.argv[2]) ?? plain
const store = await openStore()
// Our package finds express in the project's own node_modules, the others find theirs here: both count as the app's.
const requireFromProject = createRequire(new URL('../../../package.json', import.meta.url))
for (const name of ['express', 'passport', 'express-session']) requireFromProject(name)

const provider = {
  authorizationURL: 'http://127.0.0.1:9/site/oauth2/authorize',
  tokenURL: 'http://127.0.0.1:9/site/oauth2/access_token',
  apiURL: 'http://127.0.0.1:9/2.0',
}
const began = process.cpuUsage()
const spent = () => {
  const { user, system } = process.cpuUsage(began)
  return (user + system) / 1000
}
for (const name of contender.imports) await import(name)
const imported = spent()
await (await contender.load()).createApp({ provider, origin: 'http://127.0.0.1:3000', store })
const ready = spent()
process.stdout.write(JSON.stringify({ imported, ready }), () => process.exit())
