import type { Request } from 'express'
import { configurationError, type PassportLike } from '../contract/options'
import { NO_SERIALIZER } from './session-layer'

/**
 * Reads users as Passport does at each request: through the app's serializer and deserializer. For apps without
 * `getUserById`.
 */
export function userReader<User>(passport: PassportLike): (user: User, req: Request) => Promise<unknown> {
  return async (user, req) => {
    const { serializeUser, deserializeUser } = passport
    if (typeof serializeUser !== 'function' || typeof deserializeUser !== 'function') {
      throw configurationError(NO_SERIALIZER)
    }
    const serialized = await answered((done) => serializeUser.call(passport, user, req, done))
    // As a session store returns it: an ObjectId is a string there.
    const stored: unknown = JSON.parse(JSON.stringify(serialized))
    if (typeof stored === 'object') throw configurationError(WHOLE_USER)
    return answered((done) => deserializeUser.call(passport, stored, req, done))
  }
}

const WHOLE_USER =
  '`accounts.getUserById` is missing. passport.serializeUser stores an object, so a session cannot be checked against your database. Add the hook: it returns the user with this id as it is now, or null.'

/** Passport's message if no serializer or deserializer is registered. */
const UNREGISTERED = /^Failed to (?:serialize user into|deserialize user out of) session$/

function answered(work: (done: (error: unknown, value?: unknown) => void) => unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    work((error, value) => {
      if (!error) resolve(value)
      else if (error instanceof Error && UNREGISTERED.test(error.message))
        reject(configurationError(NO_SERIALIZER, error))
      else reject(error as Error)
    })
  })
}
