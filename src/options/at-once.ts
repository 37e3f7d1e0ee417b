import { configurationError } from '../contract/options'

/** These are asked at once. A promise would pass for "never signed in", "no fields", "no texts"; one that rejects would end the process. */
export function atOnce<Asked extends unknown[], Answer>(
  name: string,
  given: (...asked: Asked) => Answer,
): (...asked: Asked) => Answer {
  return (...asked) => {
    const answer = given(...asked)
    if (typeof (answer as PromiseLike<unknown> | null | undefined)?.then !== 'function') return answer
    Promise.resolve(answer).catch(() => {})
    throw configurationError(
      `${name}: it must answer at once and gave a promise. Have ready what it needs, for example on \`req.user\`.`,
    )
  }
}
