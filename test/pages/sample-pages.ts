import type { ErrorCode } from '../../src/contract/errors'
import type { Page, PageForm } from '../../src/contract/pages'
import type { Texts } from '../../src/contract/texts'
import { english } from '../../src/pages/texts-en'

/** Texts that strangers could have written into a page. */
export interface SampleStrings {
  readonly displayName: string
  readonly identityLabel: string
  readonly accountLabel: string
  readonly maskedAddress: string
  readonly typedAddress: string
  readonly href: string
  readonly action: string
  readonly fieldName: string
  readonly fieldValue: string
}

export const plainStrings: SampleStrings = {
  displayName: 'Emma Paris',
  identityLabel: 'emmap1',
  accountLabel: 'emma@example.com',
  maskedAddress: 'e***@example.com',
  typedAddress: 'emma@example',
  href: '/login',
  action: '/auth/bitbucket/email/verify',
  fieldName: 'handle',
  fieldValue: 'b64url_value-1',
}

/** Every page in each of its forms, under a name that tells them apart. */
export function samplePages(texts: Texts, strings: SampleStrings = plainStrings) {
  const { displayName, identityLabel, accountLabel, maskedAddress, typedAddress, href } = strings
  const form: PageForm = { action: strings.action, fields: { [strings.fieldName]: strings.fieldValue } }
  const person = { texts, brand: null, displayName }
  const accounts = { ...person, identityLabel, accountLabel, cancel: form }
  const address = {
    ...person,
    name: 'email-address',
    error: null,
    typedAddress: '',
    submit: form,
    cancel: form,
  } as const
  const code = {
    ...person,
    name: 'email-code',
    maskedAddress,
    delivery: 'sent',
    codeSent: true,
    notSentReason: null,
    resendInSeconds: 0,
    error: null,
    typedAddress: '',
    verify: form,
    resend: form,
    changeAddress: null,
    cancel: form,
  } as const
  const prove = { ...person, name: 'prove', maskedAddress, signInHref: href, cancel: form } as const
  const linked = [
    { label: identityLabel, unlink: form },
    { label: displayName, unlink: null },
  ]
  return {
    error: { texts, brand: null, name: 'error', code: 'state_expired', status: 403, retryHref: href, backHref: href },
    'error not signed in': { ...errorPage(texts, 'not_signed_in', href), retryHref: href } as Page,
    'error not recent': { ...errorPage(texts, 'recent_sign_in_required', href), retryHref: href } as Page,
    'error without retry': errorPage(texts, 'account_disabled', href),
    'email-address': address,
    'email-address refused': { ...address, error: 'email_invalid', typedAddress },
    'email-code': { ...code, resendInSeconds: 42 },
    'email-code wrong': { ...code, error: 'code_wrong', changeAddress: form },
    'email-code not sent': {
      ...code,
      delivery: 'unsure',
      codeSent: false,
      error: 'code_not_sent',
      resendInSeconds: 60,
    },
    'email-code unsure': { ...code, delivery: 'unsure', codeSent: false },
    'email-code paused': { ...code, delivery: 'none', codeSent: false, notSentReason: 'paused', resendInSeconds: 30 },
    'email-code limited': {
      ...code,
      delivery: 'none',
      codeSent: false,
      notSentReason: 'limited',
      resendInSeconds: 3000,
    },
    'email-code too many': { ...code, error: 'too_many_codes', resendInSeconds: 40_000 },
    'email-code wrong address': { ...code, error: 'email_invalid', typedAddress, changeAddress: form },
    prove,
    'confirm-link': { ...accounts, name: 'confirm-link', confirm: form },
    choose: { ...accounts, name: 'choose', link: form, switch: form },
    'choose without link': { ...accounts, name: 'choose', link: null, switch: form },
    switch: { ...accounts, name: 'switch', switch: form },
    link: { texts, brand: null, name: 'link', accountLabel, linked, link: form, backHref: href },
    'link empty': { texts, brand: null, name: 'link', accountLabel, linked: [], link: form, backHref: href },
    'link full': { texts, brand: null, name: 'link', accountLabel, linked, link: null, backHref: href },
    reauthenticate: {
      texts,
      brand: null,
      name: 'reauthenticate',
      accountLabel,
      start: form,
      otherHref: href,
      otherSignsOut: false,
      backHref: href,
    },
    'reauthenticate or sign out': {
      texts,
      brand: null,
      name: 'reauthenticate',
      accountLabel,
      start: form,
      otherHref: href,
      otherSignsOut: true,
      backHref: href,
    },
    membership: { texts, brand: null, name: 'membership', accountLabel, start: form, goOn: form, backHref: href },
    'membership after the grace period': {
      texts,
      brand: null,
      name: 'membership',
      accountLabel,
      start: form,
      goOn: null,
      backHref: href,
    },
    'error membership': { ...errorPage(texts, 'membership_unconfirmed', href), retryHref: href } as Page,
    'error identity required': { ...errorPage(texts, 'identity_required', href), retryHref: href } as Page,
    'sign-in-again': {
      texts,
      brand: null,
      name: 'sign-in-again',
      error: null,
      accountLabel,
      signOut: form,
      backHref: href,
    },
    'sign-in-again other account': {
      texts,
      brand: null,
      name: 'sign-in-again',
      error: 'account_exists',
      accountLabel,
      signOut: form,
      backHref: href,
    },
    resume: { texts, brand: null, name: 'resume', href },
  } as const satisfies { readonly [name: string]: Page }
}

/** Name of a sample. */
export type SampleName = keyof ReturnType<typeof samplePages>

/** Names of all samples. */
export const sampleNames = Object.keys(samplePages(english)) as SampleName[]

/** The page that ends a sign-in with this code. */
export function errorPage(texts: Texts, code: ErrorCode, backHref = '/login'): Page {
  return { texts, brand: null, name: 'error', code, status: 400, retryHref: null, backHref }
}
