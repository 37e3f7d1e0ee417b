import { expect, test, vi } from 'vitest'
import { nextTurn } from '../../src/time/next-turn'

test('all that wait in one turn go on together, in their order, after what had arrived', async () => {
  const seen: string[] = []
  const waiting = ['first', 'second'].map(async (name) => {
    await nextTurn()
    seen.push(name)
    if (name === 'first') setImmediate(() => seen.push('another turn'))
  })
  process.nextTick(() => seen.push('arrived'))
  await Promise.all(waiting)
  expect(seen).toEqual(['arrived', 'first', 'second'])
})

test('who waits again waits for another turn', async () => {
  const seen: string[] = []
  await nextTurn()
  setImmediate(() => seen.push('another turn'))
  await nextTurn()
  expect(seen).toEqual(['another turn'])
})

test('timers that a test replaces do not stop responses', async () => {
  vi.useFakeTimers({ toFake: ['setImmediate'] })
  try {
    await nextTurn()
  } finally {
    vi.useRealTimers()
  }
})
