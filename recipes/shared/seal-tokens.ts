import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Tokens } from 'passport-bitbucket-signin'

function key(): Buffer {
  const bytes = Buffer.from(process.env.TOKEN_KEY ?? '', 'base64')
  if (bytes.length === 32) return bytes
  const fix = `node -p "require('crypto').randomBytes(32).toString('base64')"`
  throw new Error(`TOKEN_KEY: is not 32 bytes in base64. Set it to what this prints: ${fix}`)
}

/** Encrypts tokens. The text cannot be moved to another identity. */
export function sealTokens(tokens: Tokens, identityId: string): string {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key(), nonce).setAAD(Buffer.from(identityId))
  const sealed = Buffer.concat([cipher.update(JSON.stringify(tokens)), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64')
}

/** Decrypts tokens. Throws if the text was changed or belongs to another identity. */
export function openTokens(sealed: string, identityId: string): Tokens {
  const bytes = Buffer.from(sealed, 'base64')
  const decipher = createDecipheriv('aes-256-gcm', key(), bytes.subarray(0, 12)).setAAD(Buffer.from(identityId))
  decipher.setAuthTag(bytes.subarray(12, 28))
  const tokens = JSON.parse(Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString()) as Tokens
  return { ...tokens, expiresAt: tokens.expiresAt && new Date(tokens.expiresAt) }
}
