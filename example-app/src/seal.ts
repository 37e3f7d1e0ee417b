import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'

/** What a sealed text is for. A text sealed for one purpose does not open for another. */
type Purpose = 'client-secret' | 'tokens' | 'email-code' | 'known-browser'

/**
 * Encrypts what has to be kept and read again (AES-256-GCM), and fingerprints what only has to be compared. Keys come
 * from SESSION_SECRET, newest first: new texts use the first key, old ones still open with the others.
 */
export class Sealer {
  constructor(private readonly secrets: readonly string[]) {}

  seal(purpose: Purpose, text: string): string {
    const iv = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.#key(this.secrets[0] ?? '', purpose), iv)
    const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
    return Buffer.concat([iv, cipher.getAuthTag(), body]).toString('base64url')
  }

  /** The text, or `null` when none of our keys opens it: tampered with, or sealed under a secret that is gone. */
  open(purpose: Purpose, sealed: string): string | null {
    const bytes = Buffer.from(sealed, 'base64url')
    for (const secret of this.secrets) {
      try {
        const decipher = createDecipheriv('aes-256-gcm', this.#key(secret, purpose), bytes.subarray(0, 12))
        decipher.setAuthTag(bytes.subarray(12, 28))
        return decipher.update(bytes.subarray(28), undefined, 'utf8') + decipher.final('utf8')
      } catch {
        // Not sealed with this one.
      }
    }
    return null
  }

  /** A keyed hash: a code has too few possibilities for a plain one. */
  mac(purpose: Purpose, text: string): string {
    return createHmac('sha256', this.#key(this.secrets[0] ?? '', purpose))
      .update(text)
      .digest('base64url')
  }

  #key(secret: string, purpose: Purpose): Buffer {
    return Buffer.from(hkdfSync('sha256', secret, '', `corkboard ${purpose}`, 32))
  }
}
