import { type Answer, jsonAnswer } from './answer'
import type { ApiCall } from './api-call'

/** One page of a list. `next` is absolute and opaque, and absent on the last page. */
export function paginate({ request, world }: ApiCall, values: readonly object[], defaultPagelen: number): Answer {
  const page = Math.max(1, Number.parseInt(request.query.get('page') ?? '', 10) || 1)
  const pagelen = askedPagelen(request.query) ?? defaultPagelen
  const next = new URL(request.path, world.url)
  for (const [name, value] of request.query) next.searchParams.append(name, value)
  next.searchParams.set('page', String(page + 1))
  return jsonAnswer(200, {
    pagelen,
    page,
    size: values.length,
    values: values.slice((page - 1) * pagelen, page * pagelen),
    ...(values.length > page * pagelen && { next: next.href }),
  })
}

/** Bitbucket gives 10 to 100 a page, whatever was asked. */
function askedPagelen(query: URLSearchParams): number | undefined {
  const asked = Number.parseInt(query.get('pagelen') ?? '', 10)
  return Number.isNaN(asked) ? undefined : Math.min(100, Math.max(10, asked))
}
