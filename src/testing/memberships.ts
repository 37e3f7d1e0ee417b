import { type Answer, jsonAnswer } from './answer'
import { type ApiCall, personOf } from './api-call'
import { paginate } from './pagination'
import type { FakeMembership, FakePerson } from './people'
import { apiError, notFound } from './refusals'
import type { World } from './world'

type Membership = Required<FakeMembership>

/** `GET /2.0/user/workspaces`: what the person may enter. */
export function workspaceAccess(call: ApiCall): Answer {
  const { query } = call.request
  const wanted = query.get('administrator')
  const all = membershipsOf(call)
    .map((membership) => ({
      type: 'workspace_access',
      administrator: membership.permission === 'owner',
      workspace: {
        type: 'workspace_base',
        slug: membership.slug,
        uuid: membership.uuid,
        links: links(membership, call.world),
      },
    }))
    .filter(({ administrator }) => wanted === null || String(administrator) === wanted)
    .sort((a, b) => (a.workspace.slug < b.workspace.slug ? -1 : 1))
  return paginate(call, query.get('sort') === '-slug' ? all.reverse() : all, 25)
}

/** `GET /2.0/user/workspaces/{workspace}/permission`: 403 to whoever is not in it, be it there or not. */
export function membershipOf(call: ApiCall): Answer {
  const person = personOf(call)
  const membership = findMembership(membershipsOf(call), call.parts[0])
  if (!person || !membership) return apiError(403, { message: 'You do not have access to this workspace.' })
  return jsonAnswer(200, membershipBody(person, membership))
}

/** `GET /2.0/workspaces/{workspace}`. */
export function workspaceAnswer(call: ApiCall): Answer {
  const membership = findMembership(membershipsOf(call), call.parts[0])
  if (!membership) return notFound()
  return jsonAnswer(200, { ...workspaceBody(membership), is_private: true, links: links(membership, call.world) })
}

/** `GET /2.0/workspaces/{workspace}/permissions` and `…/members/{member}`, for members only. */
export function membersOf(call: ApiCall): Answer {
  const [workspace, member] = call.parts
  if (!findMembership(membershipsOf(call), workspace)) return notFound()
  const all = call.world.people.all.flatMap((person) => {
    const membership = findMembership(person.workspaces, workspace)
    return membership ? [{ person, body: membershipBody(person, membership) }] : []
  })
  if (member === undefined)
    return paginate(
      call,
      all.map(({ body }) => body),
      10,
    )
  const found = all.find(({ person }) => person.uuid === member || person.accountId === member)
  return found ? jsonAnswer(200, found.body) : notFound()
}

function membershipsOf(call: ApiCall): readonly Membership[] {
  return personOf(call)?.workspaces ?? []
}

/** By slug or by uuid. */
function findMembership(memberships: readonly Membership[], workspace: string | undefined): Membership | undefined {
  return memberships.find(({ slug, uuid }) => slug === workspace || uuid === workspace)
}

function membershipBody(person: FakePerson, membership: Membership): object {
  return {
    type: 'workspace_membership',
    permission: membership.permission,
    user: { type: 'user', uuid: person.uuid, nickname: person.nickname, display_name: person.displayName },
    workspace: workspaceBody(membership),
  }
}

function workspaceBody({ slug, uuid }: Membership): object {
  return { type: 'workspace', uuid, slug, name: slug }
}

function links({ slug }: Membership, { url }: World): object {
  return { self: { href: `${url}/2.0/workspaces/${slug}` }, avatar: { href: `${url}/workspaces/${slug}/avatar/` } }
}
