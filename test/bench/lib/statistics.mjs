/** @param {number[]} values */
export function median(values) {
  return quantile(values, 0.5)
}

/** @param {number[]} values @param {number} share */
export function quantile(values, share) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b)
  if (sorted.length === 0) return Number.NaN
  const at = (sorted.length - 1) * share
  const below = sorted[Math.floor(at)]
  return below + (sorted[Math.ceil(at)] - below) * (at - Math.floor(at))
}

/**
 * What rounds of samples say: the median, and the median of the ratios to the baseline of the same round. Noise that
 * lasts longer than a round hits both and cancels out.
 *
 * @param {Record<string, number>[]} rounds one sample per contender id
 * @param {string} id
 * @param {string} baselineId
 */
export function summarise(rounds, id, baselineId) {
  const values = rounds.map((round) => round[id])
  const ratios = rounds.map((round) => round[id] / round[baselineId])
  return { value: median(values), ratio: median(ratios), low: quantile(ratios, 0.25), high: quantile(ratios, 0.75) }
}

/**
 * The ratio of the best tenths: what is left when nothing else runs on the machine. `higherIsBetter` for rates.
 *
 * @param {Record<string, number>[]} rounds
 * @param {string} id
 * @param {string} baselineId
 * @param {boolean} higherIsBetter
 */
export function undisturbedRatio(rounds, id, baselineId, higherIsBetter) {
  const best = (each) =>
    quantile(
      rounds.map((round) => round[each]),
      higherIsBetter ? 0.9 : 0.1,
    )
  return best(id) / best(baselineId)
}

/** A new order each round, so that no contender always follows the same one. */
export function rotated(items, round) {
  const at = round % items.length
  return [...items.slice(at), ...items.slice(0, at)]
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
