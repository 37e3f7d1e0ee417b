import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { rotated } from '../lib/statistics.mjs'

const PROBE = fileURLToPath(new URL('import-probe.mjs', import.meta.url))

/**
 * CPU to load a contender into a process that already has express, passport and express-session, and to have its app
 * ready; under `express` the app without any of them. Each sample is a process of its own.
 *
 * @param {{ id: string }[]} contenders
 * @param {{ rounds: number }} plan
 */
export async function measureImports(contenders, { rounds }) {
  const samples = { imported: [], ready: [] }
  // The first round only fills the file cache.
  for (let round = -1; round < rounds; round++) {
    for (const { id } of rotated([...contenders, { id: 'express' }], Math.max(round, 0))) {
      const { stdout } = await promisify(execFile)(process.execPath, [PROBE, id], {
        env: { ...process.env, NODE_ENV: 'production' },
      })
      const probe = JSON.parse(stdout)
      if (round === -1) continue
      for (const [series, value] of Object.entries(probe)) {
        samples[series][round] = { ...samples[series][round], [id]: value }
      }
    }
  }
  return samples
}
