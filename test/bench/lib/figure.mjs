import { summarise } from './statistics.mjs'

const WIDTH = 780
const LABEL = 270
const BAR = 16
const UNIT = 300

/** The rows of the figure: what is counted, and in which section. */
const SERIES = [
  { key: 'start.cpuMs', title: 'CPU of a start' },
  { key: 'signIn32.cpuMs', title: 'CPU of a sign-in' },
]

/**
 * CPU relative to the baseline as an SVG, sessions in memory: one bar for each contender, the middle half of the rounds as a
 * line. Shorter is better.
 *
 * @param {{ samples: Record<string, Record<string, number>[]> }} memory
 * @param {import('../contenders/index.mjs').Contender[]} contenders
 */
export function figure({ samples }, contenders) {
  const parts = []
  let y = 26
  for (const { key, title } of SERIES) {
    parts.push(text(0, y, title, 'font-weight="600"'))
    y += 10
    for (const { id, name } of contenders) {
      const found = summarise(samples[key], id, 'baseline')
      if (!Number.isFinite(found.ratio)) continue
      parts.push(...bar(y, name.replace(/[*`]/g, ''), found))
      y += BAR + 8
    }
    y += 28
  }
  const one = LABEL + UNIT
  const rule = `<line x1="${one}" x2="${one}" y1="10" y2="${y - 34}" stroke="#6b778c" stroke-dasharray="3 3"/>`
  const shape = `viewBox="0 0 ${WIDTH} ${y - 20}" font-family="system-ui, sans-serif" font-size="13"`
  return `<svg xmlns="http://www.w3.org/2000/svg" ${shape} role="img" aria-label="CPU relative to the baseline">
<rect width="100%" height="100%" fill="#fff"/>
${[...parts, rule].join('\n')}
</svg>
`
}

function bar(y, name, { ratio, low, high }) {
  // A bar beyond the edge is cut; its number is the length.
  const width = (value) => Math.min(value, (WIDTH - LABEL - 60) / UNIT) * UNIT
  const fill = name.startsWith('ours') ? '#0052cc' : '#a5adba'
  const middle = y + BAR / 2
  const end = LABEL + width(ratio)
  return [
    text(0, y + 13, name),
    `<rect x="${LABEL}" y="${y}" width="${width(ratio).toFixed(0)}" height="${BAR}" fill="${fill}"/>`,
    `<line x1="${(LABEL + width(low)).toFixed(0)}" x2="${(LABEL + width(high)).toFixed(0)}" y1="${middle}" y2="${middle}" stroke="#172b4d" stroke-width="2"/>`,
    text(Math.round(Math.max(end, LABEL + width(high))) + 8, y + 13, `${ratio.toFixed(2)} ×`),
  ]
}

const text = (x, y, words, more = '') => `<text x="${x}" y="${y}" fill="#172b4d" ${more}>${words}</text>`
