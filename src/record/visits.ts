/** One visit to Bitbucket, and what the operator does there. */
export interface Visit {
  readonly id: VisitId
  readonly title: string
  readonly instruction: string
  /** Changes to the authorization request; `null` removes a parameter. */
  readonly change?: (callbackURL: string) => Readonly<Record<string, string | null>>
}

/** Names of the visits. */
export type VisitId =
  | 'denial'
  | 'second-denial'
  | 'consent'
  | 'wrong-verifier'
  | 'account-alone'
  | 'body-credentials'
  | 'no-redirect-uri'
  | 'held-code'
  | 'redirect-path'
  | 'redirect-slash'
  | 'redirect-query'
  | 'redirect-case'

const ALLOW = 'Press Allow if Bitbucket asks; it may redirect you straight back.'
const LOOK = 'If Bitbucket shows an error page, come back here and say so below. If it asks, press Allow.'

/** In this order: a denial can only be seen before the client was allowed. */
export const VISITS: readonly Visit[] = [
  { id: 'denial', title: 'Deny', instruction: 'Press Cancel or Deny at Bitbucket.' },
  { id: 'second-denial', title: 'Deny again', instruction: 'Deny once more. Bitbucket may not ask.' },
  { id: 'consent', title: 'Allow', instruction: 'This time press Allow.' },
  { id: 'wrong-verifier', title: 'A wrong PKCE verifier', instruction: ALLOW },
  { id: 'account-alone', title: 'The scope account alone', instruction: ALLOW, change: () => ({ scope: 'account' }) },
  { id: 'body-credentials', title: 'Client credentials in the body', instruction: ALLOW },
  { id: 'no-redirect-uri', title: 'No redirect_uri', instruction: LOOK, change: () => ({ redirect_uri: null }) },
  { id: 'held-code', title: 'A code that is held back', instruction: ALLOW },
  {
    id: 'redirect-path',
    title: 'A longer callback path',
    instruction: LOOK,
    change: (url) => ({ redirect_uri: `${url}/more` }),
  },
  {
    id: 'redirect-slash',
    title: 'A callback with a slash at its end',
    instruction: LOOK,
    change: (url) => ({ redirect_uri: `${url}/` }),
  },
  {
    id: 'redirect-query',
    title: 'A callback with a query',
    instruction: LOOK,
    change: (url) => ({ redirect_uri: `${url}?more=1` }),
  },
  {
    id: 'redirect-case',
    title: 'A callback in another case',
    instruction: LOOK,
    change: (url) => ({ redirect_uri: url.replace(/[^/]*$/, (last) => last.toUpperCase()) }),
  },
]
