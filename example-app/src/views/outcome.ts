import type { Request } from 'express'

/** The query parameter by which the package tells a page what happened, see its option `outcomeParameter`. */
export const OUTCOME = 'bitbucket'

const TEXTS = new Map([
  ['signed-up', 'Welcome to Corkboard. Your account is ready.'],
  ['linked', 'Bitbucket is connected. You can sign in with it from now on.'],
  ['unlinked', 'Bitbucket is disconnected.'],
])

/** What to tell the user. Anyone can write such a link, so it is words and nothing else. */
export const outcomeOf = (req: Request): string | undefined => TEXTS.get(String(req.query[OUTCOME]))
