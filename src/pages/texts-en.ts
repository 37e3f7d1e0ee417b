import type { Texts } from '../contract/texts'

/** The texts in English, the default. */
export const english: Texts = {
  lang: 'en',
  signInButton: 'Sign in with Bitbucket',
  errors: {
    configuration_invalid:
      'Signing in with Bitbucket is not set up correctly here. Please use another way to sign in, and tell the site’s support team.',
    session_missing:
      'This site could not remember your sign-in. Please use another way to sign in, and tell the site’s support team.',
    request_invalid: 'Something was missing from what your browser sent. Please go back and try again.',
    request_too_large: 'That was more than this form takes. Please shorten what you typed and try again.',
    method_not_allowed: 'This page cannot be opened in this way. Please go back and start again.',
    state_invalid:
      'This sign-in was not started in this browser, has already been used, or belongs to settings that have changed since. Please start again from the sign-in page; if this happens again, try another browser.',
    state_expired: 'This sign-in took too long and has ended. Please start again.',
    access_denied:
      'Bitbucket did not confirm this sign-in, perhaps because you cancelled it there. You can try again; if Bitbucket no longer asks you, remove this site under “App authorizations” in your Bitbucket settings first.',
    scope_missing:
      'Bitbucket did not tell us everything we need to sign you in. Please use another way to sign in, and tell the site’s support team.',
    client_rejected:
      'Bitbucket did not accept the request of this site. Please use another way to sign in, and tell the site’s support team.',
    upstream_failed: 'Bitbucket did not answer as it should. Please try again in a few minutes.',
    upstream_timeout: 'Bitbucket took too long to answer. Please try again in a few minutes.',
    rate_limited: 'Bitbucket is getting too many requests right now. Please wait a few minutes and try again.',
    profile_invalid: 'Bitbucket did not tell us clearly who you are. Please try again, or use another way to sign in.',
    connection_unavailable: 'Signing in with Bitbucket is not available here. Please use another way to sign in.',
    origin_not_allowed:
      'Signing in with Bitbucket is not available at this web address. Please open the site at its usual address and try again.',
    workspace_required:
      'Only members of certain Bitbucket workspaces can sign in here. Ask for an invitation to the workspace, or try again with another Bitbucket account.',
    sign_up_disabled:
      'You do not have an account here yet, and a new one cannot be created this way. Please ask the site’s support team for access.',
    email_required:
      'Bitbucket did not tell us an email address for you, and we need one. Add an address to your Bitbucket account and try again.',
    email_unverified:
      'Your email address has not been confirmed here. Please confirm it first, or use another way to sign in.',
    email_invalid: 'We cannot use this email address. Please check it; it should look like name@example.com.',
    email_ambiguous:
      'More than one account here uses your email address, so we cannot tell which one to open. Please use another way to sign in.',
    account_exists: 'An account with your email address already exists. Please sign in to it the way you usually do.',
    account_exists_unverified:
      'An account with your email address already exists, but the address was never confirmed there. Sign in to that account another way and confirm it, or ask the site’s support team for help.',
    account_disabled: 'This account cannot be used right now. Please contact the site’s support team.',
    identity_linked_elsewhere:
      'This Bitbucket account is already connected to a different account here. Please choose another Bitbucket account.',
    identity_not_found:
      'This Bitbucket account is not connected to your account; perhaps you have already disconnected it. Please go back and check.',
    another_identity_linked:
      'Your account is already connected to a different Bitbucket account. Disconnect that one first, then try again.',
    not_signed_in: 'You are not signed in. Please sign in and try again.',
    session_changed: 'You signed in or out in the meantime, so we stopped here. Please start again.',
    pending_missing:
      'There is nothing to finish here; perhaps it was finished already, or it took too long. If you are not signed in, please start again.',
    pending_replaced:
      'This page belongs to a sign-in that was finished already, or was replaced by a newer one. If you are not signed in, continue with the newest one or start again.',
    recent_sign_in_required: 'To protect your account, please sign in again and then repeat this step.',
    membership_unconfirmed:
      'Please confirm with Bitbucket that you are still a member of the workspace, and then repeat this step.',
    identity_required:
      'This page is for members of certain Bitbucket workspaces. Connect your Bitbucket account to show that you are one.',
    reauthentication_mismatch:
      'You confirmed with a Bitbucket account that does not belong to your account here. Switch to the right one at Bitbucket and try again.',
    last_sign_in_method:
      'This is the only way to sign in to your account, so it cannot be disconnected. Please add another way to sign in first.',
    code_wrong: 'This code is not correct. Please check it, and use the newest code that we sent you.',
    code_expired: 'This code is no longer valid. Please ask for a new one.',
    code_exhausted: 'Too many wrong codes were entered. Please ask for a new code, or try again later.',
    too_many_codes: 'It is too early for another code. Please wait a while and try again.',
    code_not_sent:
      'Sending the email is slow or failed. If it arrives, its code works; if not, ask for a new one in a minute.',
    cross_site_request:
      'This request did not come from a page of this site, so we stopped it to protect you. Please go back and try again.',
    hook_failed: 'Something went wrong on our side. Please try again in a few minutes.',
    store_unavailable: 'We cannot handle sign-ins at the moment. Please try again in a few minutes.',
    reauthorization_required:
      'Bitbucket no longer lets us act for you. Please sign in with Bitbucket again to renew the permission.',
    refresh_refused: 'Bitbucket does not let us act for you at the moment. Please try again in 15 minutes.',
  },
  errorHeadings: {
    configuration_invalid: 'Sign-in is not set up correctly',
    session_missing: 'Your sign-in could not be saved',
    request_invalid: 'Something was missing',
    request_too_large: 'That was too long',
    method_not_allowed: 'This page cannot be opened this way',
    state_invalid: 'This sign-in is no longer open',
    state_expired: 'This sign-in has expired',
    access_denied: 'Sign-in cancelled',
    scope_missing: 'Bitbucket did not send enough',
    client_rejected: 'Bitbucket refused this site',
    upstream_failed: 'Bitbucket is not working right now',
    upstream_timeout: 'Bitbucket took too long',
    rate_limited: 'Bitbucket is busy',
    profile_invalid: 'Bitbucket did not say who you are',
    connection_unavailable: 'Not available here',
    origin_not_allowed: 'Not available at this address',
    workspace_required: 'Members only',
    sign_up_disabled: 'You do not have an account here',
    email_required: 'An email address is needed',
    email_unverified: 'Your email address is not confirmed',
    email_invalid: 'This email address cannot be used',
    email_ambiguous: 'More than one account',
    account_exists: 'You already have an account',
    account_exists_unverified: 'This address is already in use',
    account_disabled: 'This account cannot be used',
    identity_linked_elsewhere: 'Connected to another account',
    identity_not_found: 'Not connected',
    another_identity_linked: 'Already connected to Bitbucket',
    not_signed_in: 'You are not signed in',
    session_changed: 'You signed in or out',
    pending_missing: 'Nothing to finish',
    pending_replaced: 'This page is out of date',
    recent_sign_in_required: 'Confirm that it is you',
    membership_unconfirmed: 'Are you still a member?',
    identity_required: 'Members only',
    reauthentication_mismatch: 'That is a different Bitbucket account',
    last_sign_in_method: 'This is your only way to sign in',
    code_wrong: 'This code is not correct',
    code_expired: 'This code has expired',
    code_exhausted: 'Too many wrong codes',
    too_many_codes: 'Too many emails requested',
    code_not_sent: 'The email may not arrive',
    cross_site_request: 'This request was stopped',
    hook_failed: 'Something went wrong',
    store_unavailable: 'Sign-in is not possible right now',
    reauthorization_required: 'Permission has ended',
    refresh_refused: 'Bitbucket is not answering clearly',
  },
  common: {
    errorTitle: 'Error: {title}',
    cancel: 'Cancel',
    back: 'Go back',
    bitbucketAccount: 'Bitbucket account',
    ownAccount: 'Your account here',
  },
  error: {
    retry: 'Try again',
    signIn: 'Sign in',
    confirm: 'Confirm that it is you',
    code: 'Error code: {code}',
  },
  emailAddress: {
    heading: 'What is your email address?',
    intro:
      'Hello {displayName}, Bitbucket did not tell us your email address. Enter it here, and we will send you a code to confirm that it is yours.',
    label: 'Email address',
    submit: 'Send code',
  },
  emailCode: {
    heading: 'Check your email',
    intro: 'Hello {displayName}, we emailed a code to {address}. Enter it here to finish signing in.',
    notSentHeading: 'Confirm your email address',
    notSentIntro: 'Hello {displayName}, to finish signing in you need a code that we send to {address}.',
    unsureIntro:
      'Hello {displayName}, we are sending a code to {address}, but it is slow or failed. If the email arrives, enter its code here.',
    pausedReason: 'A code for this address was requested a moment ago in another attempt, and works only there.',
    limitedReason: 'Too many codes have been requested recently.',
    label: 'Code from the email',
    hint: 'Eight letters, written as XXXX-\u2060XXXX. Upper or lower case is fine.',
    submit: 'Continue',
    send: 'Send code',
    resend: 'Send a new code',
    waitSeconds: 'You can ask for a new code in {seconds} seconds.',
    waitMinutes: 'You can ask for a new code in {minutes} minutes.',
    waitHours: 'You can ask for a new code in {hours} hours.',
    changeAddress: 'Use a different address',
    addressLabel: 'New email address',
    changeSubmit: 'Send code to this address',
  },
  prove: {
    heading: 'You already have an account',
    intro:
      'Hello {displayName}, an account with the address {address} already exists. Sign in to it the way you usually do; after that you can connect it with Bitbucket.',
    signIn: 'Sign in to your account',
  },
  confirmLink: {
    heading: 'Connect with Bitbucket?',
    intro: 'After that you can sign in to your account with this Bitbucket account.',
    warning: 'Only continue if both accounts are yours.',
    submit: 'Connect',
  },
  choose: {
    heading: 'You are already signed in',
    intro:
      'This Bitbucket account is new here. You can connect it to the account you are signed in to, or leave that account and sign in with Bitbucket.',
    introWithoutLink:
      'This Bitbucket account does not belong to the account you are signed in to. You can leave that account and sign in with Bitbucket.',
    link: 'Connect to {account}',
    switch: 'Sign in with Bitbucket instead',
    stay: 'Change nothing',
  },
  switch: {
    heading: 'Switch accounts?',
    intro:
      'This Bitbucket account does not belong to the account you are signed in to. If you switch, you will be signed out of it first.',
    submit: 'Switch accounts',
    stay: 'Stay signed in',
  },
  link: {
    heading: 'Your connection to Bitbucket',
    signedInAs: 'You are signed in as {account}.',
    linked: 'Connected Bitbucket accounts',
    none: 'No Bitbucket account is connected yet. Connect one, and you can use it to sign in.',
    submit: 'Connect a Bitbucket account',
    unlink: 'Disconnect',
  },
  reauthenticate: {
    heading: 'Is it really you?',
    intro:
      'You are signed in as {account}. To protect your account, please confirm with Bitbucket before you continue.',
    submit: 'Confirm with Bitbucket',
    other: 'Confirm another way',
  },
  membership: {
    heading: 'Are you still a member?',
    intro:
      'You are signed in as {account}. Only members of our Bitbucket workspace can use this page. Please confirm with Bitbucket that you are still one.',
    submit: 'Confirm with Bitbucket',
    goOnHint: 'Is Bitbucket down? You can continue for now and confirm later.',
    goOn: 'Go on without confirming',
  },
  signInAgain: {
    heading: 'Please sign in again',
    intro:
      'You are signed in as {account}. To protect your account, sign out and sign in again; after that you return to this step.',
    submit: 'Sign out and sign in again',
    otherHeading: 'The accounts were not connected',
    otherAccount:
      'The account that you signed in to is not the one with the email address of the Bitbucket account, or one of them has changed. To connect the right one, sign out, sign in with Bitbucket again and then sign in to that account.',
  },
  resume: {
    heading: 'One moment, please',
    link: 'Continue',
  },
}
