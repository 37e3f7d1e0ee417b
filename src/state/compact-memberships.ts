import type { WorkspaceMembership } from '../contract/tokens'

const PERMISSIONS = ['member', 'create-project', 'owner']
const UUID = /^\{([\da-f]{8})-([\da-f]{4})-([\da-f]{4})-([\da-f]{4})-([\da-f]{12})\}$/

/**
 * Memberships in about half the bytes of their JSON: a cookie must hold all of them. One string each: a digit for a known
 * permission, the uuid in 22 characters, the slug. Anything else stays an object.
 */
export function compactMemberships(memberships: readonly WorkspaceMembership[]): readonly unknown[] {
  // A gate may name a workspace twice, by slug and by uuid.
  const distinct = new Map(memberships.map((each) => [each.uuid, each]))
  return [...distinct.values()].map((membership) => {
    const { slug, uuid, permission } = membership
    const digit = PERMISSIONS.indexOf(permission)
    const hex = UUID.exec(uuid)?.slice(1).join('')
    return digit < 0 || hex === undefined ? membership : digit + Buffer.from(hex, 'hex').toString('base64url') + slug
  })
}

/** Restores the memberships. */
export function expandMemberships(compact: readonly unknown[]): readonly WorkspaceMembership[] {
  return compact.map((each) => {
    if (typeof each !== 'string') return each as WorkspaceMembership
    const hex = Buffer.from(each.slice(1, 23), 'base64url').toString('hex')
    const uuid = `{${hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')}}`
    return { slug: each.slice(23), uuid, permission: PERMISSIONS[Number(each[0])] ?? '' }
  })
}
