import type { Request } from 'express'
import type { Config } from '../config.js'

/** The applications of this product: the board, and a desk for those who tidy it. */
export const APPLICATIONS = ['board', 'desk'] as const
export type Application = (typeof APPLICATIONS)[number]

/** Which customer's site is being visited, and which application of it. */
export interface Place {
  readonly tenant: string | null
  readonly application: Application
}

/**
 * The host name says it: `localhost` and `desk.localhost` are the product itself, `acme.localhost` and
 * `desk.acme.localhost` belong to the tenant acme. `null` = not one of our hosts, such as that of an unknown tenant.
 */
export function placeOf(req: Request, config: Config): Place | null {
  const base = config.baseURL.hostname
  const host = req.hostname?.toLowerCase() ?? ''
  const custom = config.customDomains.find((each) => each.host === host)
  if (custom) return { tenant: custom.tenant, application: 'board' }
  if (host === base) return { tenant: null, application: 'board' }
  if (!host.endsWith(`.${base}`)) return null
  const labels = host.slice(0, -base.length - 1).split('.')
  const application = labels[0] === 'desk' ? 'desk' : 'board'
  if (application === 'desk') labels.shift()
  const tenant = labels.join('.') || null
  return tenant === null || config.tenants.includes(tenant) ? { tenant, application } : null
}

/** The origin of a place, from configuration and never from a request. */
export function originOf(place: Place, config: Config): string {
  const labels = [...(place.application === 'desk' ? ['desk'] : []), ...(place.tenant === null ? [] : [place.tenant])]
  return `${config.baseURL.protocol}//${[...labels, config.baseURL.host].join('.')}`
}

/** Where the site of a tenant (`null` = the product itself) is reached: our host names for it, then its custom domains. */
export function domainsOf(tenant: string | null, config: Config): string[] {
  const { protocol, port } = config.baseURL
  const custom = config.customDomains.filter((each) => each.tenant === tenant)
  return [
    ...APPLICATIONS.map((application) => originOf({ tenant, application }, config)),
    ...custom.map(({ host }) => `${protocol}//${host}${port && `:${port}`}`),
  ]
}

export const everyDomain = (config: Config): string[] =>
  [null, ...config.tenants].flatMap((tenant) => domainsOf(tenant, config))
