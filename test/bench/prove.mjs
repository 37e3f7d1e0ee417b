/** Signs in once with every contender, over http and https, in memory. What each asked of the provider follows. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { contenders } from './contenders/index.mjs'
import { stopChildren } from './lib/children.mjs'
import { Connection } from './lib/client.mjs'
import { proveSignIn } from './lib/sign-in.mjs'
import { startApp, startProvider } from './lib/surroundings.mjs'

const folder = mkdtempSync(`${tmpdir()}/bench-`)
const provider = await startProvider(folder)
for (const contender of contenders) {
  for (const scheme of ['http', 'https']) {
    try {
      const app = await startApp(contender, provider, { scheme })
      const connection = new Connection(app.port)
      await proveSignIn(contender, connection)
      await provider.send('counts')
      await proveSignIn(contender, connection)
      console.log('ok', contender.id, scheme, JSON.stringify(await provider.send('counts')))
      connection.close()
      await app.stop()
    } catch (error) {
      console.error('FAILED', contender.id, scheme, error)
      process.exitCode = 1
    }
  }
}
stopChildren()
rmSync(folder, { recursive: true })
