import { hash, verify } from '@node-rs/argon2'

/** Argon2id with the library's parameters: 19 MiB, two passes, the smallest set that OWASP recommends. */
export const hashPassword = (password: string): Promise<string> => hash(password)

/** A hash that no password matches: compared if there is no account, so that the response takes as long. */
const decoy = hash(crypto.randomUUID())

export async function passwordMatches(stored: string | null | undefined, password: string): Promise<boolean> {
  const matches = await verify(stored ?? (await decoy), password)
  return matches && typeof stored === 'string'
}
