import type { FakeBehaviour } from './behaviour'
import type { Clients } from './clients'
import type { Grants } from './grants'
import type { People } from './people'

/** Everything one fake knows; the endpoints read and change it. */
export interface World {
  people: People
  clients: Clients
  grants: Grants
  behaviour: Required<FakeBehaviour>
  /** Which clients a person has allowed already: `<person key> <client ID>` to the scopes. */
  consents: Map<string, readonly string[]>
  /** Origin of site and API; known once the server listens. */
  url: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
}
