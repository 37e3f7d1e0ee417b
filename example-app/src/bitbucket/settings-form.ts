import type { ConnectionProblem } from 'passport-bitbucket-signin'
import { z } from 'zod'
import { type CompleteSettings, type Level, type Settings, settingsProblems, settingsSchema } from './settings.js'

const text = z.preprocess((sent) => String([sent ?? ''].flat()[0]).trim(), z.string())
const list = z.preprocess((sent) => [sent ?? []].flat().flatMap((each) => split(String(each))), z.array(z.string()))

const formSchema = z.object({
  /** `no` = the tenant inherits everything. */
  override: text,
  enabled: text,
  visible: text,
  signUp: text,
  trustedProvider: text,
  clientID: text,
  callbackDomain: text,
  /** A list is inherited unless its own choice says `own`. */
  // Unticked boxes send nothing, so their choice tells whether the form had them.
  applicationsChoice: z.preprocess((sent) => sent ?? 'absent', text),
  applications: list,
  scopeChoice: text,
  scope: list,
  workspacesChoice: text,
  workspaces: list,
})

/** The form as it was sent, without the client secret. It is shown again as it is when it cannot be saved. */
export type Form = z.infer<typeof formSchema>

export const readForm = (body: object | undefined): Form => formSchema.parse(body ?? {})

const split = (typed: string) => typed.split(/[\s,]+/).filter(Boolean)

/** The form that shows stored settings. */
export function formOf(own: Settings, above: CompleteSettings): Form {
  const choice = (value: boolean | undefined) => (value === undefined ? '' : String(value))
  return {
    override: Object.keys(own).length > 0 ? 'yes' : 'no',
    enabled: choice(own.enabled),
    visible: choice(own.visible),
    signUp: choice(own.signUp),
    trustedProvider: choice(own.trustedProvider),
    clientID: own.clientID ?? '',
    callbackDomain: own.callbackDomain ?? '',
    applicationsChoice: own.applications ? 'own' : '',
    applications: own.applications ?? above.applications,
    scopeChoice: own.scope ? 'own' : '',
    scope: own.scope ?? [],
    workspacesChoice: own.workspaces ? 'own' : '',
    workspaces: own.workspaces ?? [],
  }
}

export interface CheckedForm {
  readonly settings: Settings
  /** A new secret, `null` = none any longer, `undefined` = the stored one. */
  readonly secret: string | null | undefined
  readonly problems: readonly ConnectionProblem[]
}

/** What a form would save, and everything that is wrong with it. Nothing that was entered is ignored. */
export function checkForm(
  form: Form,
  typedSecret: string,
  { stored, above, domains }: { stored: Level; above: CompleteSettings; domains: readonly string[] },
): CheckedForm {
  const shown = formOf(stored.settings, above)
  if (form.override === 'no') {
    const isChanged =
      typedSecret !== '' || JSON.stringify({ ...form, override: shown.override }) !== JSON.stringify(shown)
    const problems = isChanged ? [{ field: 'override', message: FORGOTTEN_OVERRIDE }] : []
    return { settings: {}, secret: null, problems }
  }
  const parsed = settingsSchema.safeParse(settingsOf(form))
  const { clientID } = parsed.data ?? {}
  const isSameClient = stored.hasSecret && clientID !== undefined && clientID === stored.settings.clientID
  const problems = [
    ...LISTS.filter((name) => isForgotten(form, shown, name)).map((field) => ({ field, message: FORGOTTEN_CHOICE })),
    ...(parsed.error?.issues ?? []).map(({ path }) => ({
      field: String(path[0]),
      message: 'Choose one of the options.',
    })),
    ...settingsProblems(parsed.data ?? {}, typedSecret || (isSameClient ? 'stored' : null), domains),
  ]
  const secret = typedSecret || (clientID === undefined ? null : undefined)
  return { settings: parsed.data ?? {}, secret, problems }
}

const FORGOTTEN_OVERRIDE = 'You changed settings but chose to inherit them. Choose “Override”, or undo the changes.'
const FORGOTTEN_CHOICE = 'You entered something here. Choose “These”, or undo it to inherit.'
const LISTS = ['applications', 'scope', 'workspaces'] as const

/** As it is stored: an empty choice or text means "inherit" and is left out. */
function settingsOf(form: Form): object {
  const value = (sent: string) => (sent === '' ? undefined : sent === 'true' ? true : sent === 'false' ? false : sent)
  const own = (name: (typeof LISTS)[number]) => (form[`${name}Choice`] === 'own' ? form[name] : undefined)
  const read: Record<keyof Settings, unknown> = {
    enabled: value(form.enabled),
    visible: value(form.visible),
    signUp: value(form.signUp),
    trustedProvider: value(form.trustedProvider),
    clientID: form.clientID || undefined,
    callbackDomain: form.callbackDomain || undefined,
    applications: own('applications'),
    scope: own('scope'),
    workspaces: own('workspaces'),
  }
  return Object.fromEntries(Object.entries(read).filter(([, each]) => each !== undefined))
}

/** A list was entered, but not the choice that makes it count. Back to "Inherit" leaves the stored list behind. */
function isForgotten(form: Form, shown: Form, name: (typeof LISTS)[number]): boolean {
  if (form[`${name}Choice`] === 'own' || String(form[name]) === String(shown[name])) return false
  return form[name].length > 0 || (name === 'applications' && form.applicationsChoice === '')
}
