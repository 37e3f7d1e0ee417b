export type { FakeEndpoint, RecordedRequest } from './arrivals'
export type { SignInOptions } from './authorize-endpoint'
export type { FakeBehaviour, FakeProfile, FakeRefusal } from './behaviour'
export {
  type FakeBitbucket,
  type FakeBitbucketOptions,
  type FakeEndpoints,
  type IssueCodeOptions,
  startFakeBitbucket,
} from './fake-bitbucket'
export type { FakeDelivery, FakeFault, FakeProblem, FakeScript } from './faults'
export { FAKE_PEOPLE, type FakeEmail, type FakeMembership, type FakePerson, type FakePersonOptions } from './people'
export { FAKE_CLIENT, type FakeClient, type FakeClientOptions } from './world'
