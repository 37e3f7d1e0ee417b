import type { EmailCodeMessage } from 'passport-bitbucket-signin'
import type { Mail } from '../mail.js'
import type { Language } from '../web/language.js'

/** The mail with a code, in the language of the page that waits for it. */
export function codeMail({ to, code, maskedIdentity }: EmailCodeMessage, language: Language): Mail {
  const { subject, where, warning } = WORDS[language]
  return { to, subject, text: `${code}\n\n${where(maskedIdentity)}\n\n${warning}` }
}

const WORDS = {
  en: {
    subject: 'Your code for Corkboard',
    where: (identity: string) =>
      `Type this code where you signed in to Corkboard with the Bitbucket account ${identity}. It works for 10 minutes.`,
    warning:
      'If this was not you, ignore this email. Do not give the code to anyone: with it they could claim this address as their own.',
  },
  de: {
    subject: 'Ihr Code für Corkboard',
    where: (identity: string) =>
      `Geben Sie diesen Code dort ein, wo Sie sich mit dem Bitbucket-Konto ${identity} bei Corkboard angemeldet haben. Er gilt 10 Minuten.`,
    warning:
      'Waren Sie das nicht, ignorieren Sie diese E‑Mail. Geben Sie den Code niemandem: Wer ihn hat, könnte diese Adresse als seine ausgeben.',
  },
}
