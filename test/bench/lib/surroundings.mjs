import { writeFileSync } from 'node:fs'
import { generate } from 'selfsigned'
import { startChild } from './children.mjs'

/** One round trip behind the latency, in milliseconds. */
export const ROUND_TRIP_MS = 50

/**
 * Starts the provider process and returns it with the certificate file that the apps have to trust.
 *
 * @param {string} folder for the certificate
 */
export async function startProvider(folder) {
  const pems = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    ],
  })
  const certificateFile = `${folder}/provider.pem`
  writeFileSync(certificateFile, pems.cert)
  const provider = await startChild('provider.mjs', {
    BENCH_PROVIDER: JSON.stringify({ key: pems.private, cert: pems.cert, roundTripMs: ROUND_TRIP_MS }),
  })
  return { ...provider, endpoints: provider.ready.endpoints, certificateFile }
}

/**
 * Starts one contender in its own process.
 *
 * @param {import('../contenders/index.mjs').Contender} contender
 * @param {Awaited<ReturnType<typeof startProvider>>} provider
 * @param {{ scheme?: 'http' | 'https', latency?: 'direct' | 'delayed', databaseUrl?: string, instance?: number, options?: object, execArgv?: string[], env?: object }} [where]
 */
export async function startApp(
  contender,
  provider,
  { scheme = 'http', latency = 'direct', databaseUrl, instance = 0, options, execArgv, env } = {},
) {
  const app = await startChild(
    'app-process.mjs',
    {
      ...env,
      NODE_ENV: 'production',
      NODE_EXTRA_CA_CERTS: provider.certificateFile,
      BENCH_APP: JSON.stringify({
        contenderId: contender.id,
        provider: provider.endpoints[scheme][latency],
        databaseUrl,
        instance,
        options,
      }),
    },
    execArgv,
  )
  return { ...app, contender, port: app.ready.port }
}
