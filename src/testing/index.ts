export type { FakeBehaviour } from './behaviour'
export { FAKE_CLIENT, type FakeClient, type FakeClientOptions } from './clients'
export {
  type FakeBitbucket,
  type FakeBitbucketOptions,
  type FakeEndpoints,
  type IssueCodeOptions,
  startFakeBitbucket,
} from './fake-bitbucket'
export type { FakeDelivery, FakeFault, FakeProblem, FakeScript } from './faults'
export { FAKE_PEOPLE, type FakeEmail, type FakeMembership, type FakePerson, type FakePersonOptions } from './people'
export type { FakeEndpoint, RecordedRequest } from './recorder'
export type { SignInOptions } from './sign-in-with-fake'
