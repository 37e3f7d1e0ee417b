import type { Decision, RefusalCode } from './sign-in'

/** Explains a decision in plain sentences: why a user was admitted, stopped or refused. */
export function explain(decision: Decision): string {
  const line = `Row ${decision.row}: `
  switch (decision.type) {
    case 'sign-in':
      return `${line}the Bitbucket identity is stored and its user may sign in; address and trust were not consulted.`
    case 'ask-address':
      return `${line}Bitbucket named no address; the user is asked for one and has to prove it by an emailed code.`
    case 'verify-address':
      return `${line}Bitbucket named an address that is not proven; a code is emailed to it, and no account was looked up.`
    case 'create':
      return line + CREATED[decision.email]
    case 'link':
      return `${line}one account has proved this address, the sign-in proved it too, and the policy lets that open the account; the identity is linked to it.`
    case 'claim':
      return `${line}accounts hold this address but never proved it; it is taken from them, and the address goes to the user who proved it, in a new account.`
    case 'prove':
      return `${line}an account holds this address; the user has to sign in to it in the app's own way and confirm the link.`
    case 'refuse':
      return line + REFUSED[decision.code]
  }
}

const CREATED = {
  none: 'no account belongs to this identity; a new one is created without an address.',
  unverified: 'no account holds this address; a new one is created, and the address is marked unverified.',
  proven: 'no account holds this proven address; a new one is created, and the address is marked verified.',
} as const

const REFUSED: Record<RefusalCode, string> = {
  account_disabled: 'the account is gone or may not sign in.',
  account_exists:
    'an account with this address exists, and the policy or the missing hooks leave no safe way to link it.',
  account_exists_unverified: 'accounts hold this address without having proved it, and none can be linked safely.',
  email_required: 'Bitbucket named no address, and the policy asks for one.',
  email_unverified: 'Bitbucket named an address that is not proven, and the policy refuses those.',
  email_ambiguous: 'several accounts have proved this address; none is chosen.',
  sign_up_disabled: 'no account belongs to this identity, and sign-up is closed.',
}
