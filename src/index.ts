/** @module passport-bitbucket-signin */

export { type UniqueViolation, uniqueViolation } from './accounts/unique-violation'
export type { JsonObject } from './bitbucket/read-answer'
export { type BitbucketSignIn, bitbucketSignIn } from './bitbucket-sign-in'
export type { CallbackRegistration } from './connections/callback-registrations'
export type { KeyedResolver } from './connections/connection-source'
export { type ConnectionsOptions, connections, type TenantSource } from './connections/tenants'
export type { Brand } from './contract/brand'
export {
  BitbucketSignInError,
  EmailTakenError,
  ERROR_STATUS,
  type ErrorCode,
  IdentityTakenError,
} from './contract/errors'
export type { ErrorListener, EventListener, SignInEvent, SignInEventType, UpstreamTiming } from './contract/events'
export type {
  AccountEmail,
  AccountHooks,
  AccountWithEmail,
  HookContext,
  HookInput,
  Intent,
  ProvenEmail,
  SignInHow,
  StoredIdentity,
  UserDescription,
} from './contract/hooks'
export type { BitbucketEmail, Identity, Profile } from './contract/identity'
export type { Limiter, LimiterCount, LimiterFactory, LimiterOptions } from './contract/limiter'
export type {
  BitbucketSignInOptions,
  ClientOwner,
  Connection,
  ConnectionResolver,
  EmailCodeMessage,
  Endpoints,
  PassportLike,
  TenantClients,
} from './contract/options'
export type {
  ChoosePage,
  CodeDelivery,
  ConfirmLinkPage,
  EmailAddressPage,
  EmailCodePage,
  ErrorPage,
  LinkPage,
  MembershipPage,
  Page,
  PageForm,
  PageName,
  ProvePage,
  ReauthenticatePage,
  RenderPage,
  RenderPageContext,
  ResumePage,
  SignInAgainPage,
  SwitchPage,
} from './contract/pages'
export type { LinkPolicy, SignInPolicy } from './contract/policy'
export type { PartialTexts, Texts } from './contract/texts'
export type { Tokens, WorkspaceMembership } from './contract/tokens'
export type { ConnectionOverride } from './decisions/connection-levels'
export type { EmailLevel } from './decisions/email-trust'
export { explain } from './decisions/explain'
export {
  type Decision,
  decideSignIn,
  type Holder,
  type RefusalCode,
  type SignInFacts,
} from './decisions/sign-in'
export type { DoctorOptions } from './doctor/examine'
export type { DoctorFinding, DoctorReport, DoctorVerdict } from './doctor/finding'
export type { TlsAt } from './doctor/probe-site'
export { type CheckConnectionOptions, type ConnectionCheck, checkConnection } from './options/check-connection'
export type { ConnectionProblem } from './options/option-problems'
export { buttonStyle } from './pages/button'
export { german } from './pages/texts-de'
export { english } from './pages/texts-en'
export { BitbucketStrategy, BitbucketStrategy as Strategy } from './passport/bitbucket-strategy'
export type { BitbucketStrategyOptions } from './passport/strategy-options'
export type { StrategyRouteOptions } from './passport/strategy-request'
export type { PassportProfile, VerifyFunction } from './passport/verify-callback'
export type { GuardOptions } from './routes/guard'
export type { RecentSignInOptions } from './routes/recent-sign-in'
export type { MembershipOptions } from './routes/require-membership'
export type { SignedInOptions } from './routes/signed-in'
