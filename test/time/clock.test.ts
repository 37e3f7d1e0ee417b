import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

type Clock = typeof import('../../src/time/clock.js')

const MINUTE = 60_000
const START = new Date('2026-11-23T12:00:00Z').getTime()
let clock: Clock

// The module notes when the process started, so it has to start under the faked clocks.
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date', 'performance'], now: START })
  vi.resetModules()
  clock = await import('../../src/time/clock.js')
})
afterEach(() => {
  vi.useRealTimers()
})

describe('now', () => {
  test('returns the wall clock, and runs with it', () => {
    expect(clock.now()).toBe(START)
    vi.advanceTimersByTime(5 * MINUTE)
    expect(clock.now()).toBe(START + 5 * MINUTE)
  })

  test('does not go back when the wall clock is set back', () => {
    vi.advanceTimersByTime(5 * MINUTE)
    vi.setSystemTime(START - 60 * MINUTE)
    expect(Date.now()).toBe(START - 60 * MINUTE)
    expect(clock.now()).toBe(START + 5 * MINUTE)
    vi.advanceTimersByTime(MINUTE)
    expect(clock.now()).toBe(START + 6 * MINUTE)
  })

  test('warns once that the wall clock was set back', () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    vi.setSystemTime(START - 30_000)
    clock.now()
    expect(warned).not.toHaveBeenCalled()
    vi.setSystemTime(START - 60 * MINUTE)
    clock.now()
    clock.now()
    expect(warned.mock.calls.map(([text]) => text)).toEqual([expect.stringContaining('set back by 3600 s')])
  })

  test('follows the wall clock forward', () => {
    vi.setSystemTime(START + 60 * MINUTE)
    expect(clock.now()).toBe(START + 60 * MINUTE)
  })

  test('returns a whole number', () => {
    vi.setSystemTime(START - MINUTE)
    vi.advanceTimersByTime(0.5)
    expect(Number.isInteger(clock.now())).toBe(true)
  })
})

describe('isAlive', () => {
  test('returns true to the last millisecond of the lifetime', () => {
    expect(clock.isAlive(START, 10 * MINUTE)).toBe(true)
    vi.advanceTimersByTime(10 * MINUTE)
    expect(clock.isAlive(START, 10 * MINUTE)).toBe(true)
    vi.advanceTimersByTime(1)
    expect(clock.isAlive(START, 10 * MINUTE)).toBe(false)
  })

  test('stays false when the wall clock is set back', () => {
    vi.advanceTimersByTime(11 * MINUTE)
    vi.setSystemTime(START + MINUTE)
    expect(clock.isAlive(START, 10 * MINUTE)).toBe(false)
  })

  test('accepts a minute in the future as clock skew, and no more', () => {
    expect(clock.CLOCK_SKEW_MS).toBe(MINUTE)
    expect(clock.isAlive(START + MINUTE, 10 * MINUTE)).toBe(true)
    expect(clock.isAlive(START + MINUTE + 1, 10 * MINUTE)).toBe(false)
    expect(clock.isAlive(START + 365 * 24 * 60 * MINUTE, 10 * MINUTE)).toBe(false)
  })

  test('is false without a time', () => {
    expect(clock.isAlive(Number.NaN, 10 * MINUTE)).toBe(false)
    expect(clock.isAlive(undefined as unknown as number, 10 * MINUTE)).toBe(false)
  })
})
