import { randomFillSync } from 'node:crypto'

const pool = Buffer.allocUnsafeSlow(4096)
let used = pool.length

/** Random bytes of the operating system, read 4 kB at a time: one call for many starts. Each byte is returned once. */
export function randomBytes(size: number): Buffer {
  if (used + size > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const bytes = Buffer.from(pool.subarray(used, used + size))
  pool.fill(0, used, used + size)
  used += size
  return bytes
}

/** 128 random bits as 22 characters. */
export function randomHandle(): string {
  return randomBytes(16).toString('base64url')
}
