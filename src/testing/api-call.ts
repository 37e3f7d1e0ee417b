import type { FakeRequest } from './answer'
import type { Grant } from './grants'
import type { FakePerson } from './people'
import type { World } from './world'

/** What an API endpoint knows when it answers. */
export interface ApiCall {
  readonly request: FakeRequest
  readonly world: World
  /** What the token allows, already found good for this endpoint. */
  readonly grant: Grant
  /** Parts of the path that the endpoint's pattern caught, decoded. */
  readonly parts: readonly string[]
}

/** Whom the token stands for; `undefined` behind client_credentials. */
export function personOf({ grant, world }: ApiCall): FakePerson | undefined {
  return 'person' in grant.subject ? world.people.get(grant.subject.person) : undefined
}
