/** @module testing */
export {
  type AccountHookCheck,
  accountHookChecks,
  checkAccountHooks,
} from './account-hooks/check-account-hooks'
export { AccountHookFailure } from './account-hooks/hook-failure'
export type { AccountHookResult, AccountHooksReport } from './account-hooks/hooks-report'
export type {
  AccountHooksSetup,
  LocalAccount,
  LocalAddresses,
  TestDatabase,
  TestSessions,
} from './account-hooks/hooks-setup'
export { type SessionStoreLike, type StoredSessions, sessionsInStore } from './account-hooks/sessions-in-store'
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
