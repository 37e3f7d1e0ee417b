export type {
  AccountEmail,
  AccountHooks,
  AccountWithEmail,
  HookContext,
  HookInput,
  Intent,
  ProvenEmail,
  StoredIdentity,
  UserDescription,
} from './accounts/hooks'
export type { Tokens, WorkspaceMembership } from './bitbucket/api'
export type { BitbucketEmail, Identity, PassportProfile, Profile } from './bitbucket/profile'
export { type ConnectionsOptions, connections, type TenantSource } from './connections'
export type { DoctorOptions } from './doctor/doctor'
export type { DoctorFinding, DoctorReport, DoctorVerdict } from './doctor/finding'
export { BitbucketSignInError, EmailTakenError, ERROR_STATUS, type ErrorCode, IdentityTakenError } from './errors'
export type { ErrorListener, EventListener, SignInEvent, SignInEventType, UpstreamTiming } from './events'
export type { Limiter, LimiterFactory, LimiterOptions } from './flow/limits'
export { buttonStyle } from './http/pages/button'
export type { Page, PageForm, PageName, RenderPage } from './http/pages/page'
export { english, type PartialTexts, type Texts } from './http/pages/texts'
export { german } from './http/pages/texts-de'
export type { RecentSignInOptions } from './http/recent'
export type {
  BitbucketSignInOptions,
  Connection,
  ConnectionResolver,
  EmailCodeMessage,
  Endpoints,
} from './options'
export { type BitbucketSignIn, bitbucketSignIn, type CallbackRegistration } from './plugin'
export type { ConnectionOverride } from './policy/connection'
export type { EmailLevel } from './policy/email'
export {
  type Decision,
  decideSignIn,
  explain,
  type Holder,
  type RefusalCode,
  type SignInFacts,
  type SignInPolicy,
} from './policy/sign-in'
export { BitbucketStrategy, BitbucketStrategy as Strategy, type BitbucketStrategyOptions } from './strategy'
