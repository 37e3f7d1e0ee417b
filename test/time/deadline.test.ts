import { EventEmitter } from 'node:events'
import type { Response } from 'express'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ExchangeDeadline, withDeadline } from '../../src/time/deadline'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

describe('withDeadline', () => {
  test('settles like the work, and leaves no timer', async () => {
    expect(await withDeadline(Promise.resolve(1), 1000, 'The work')).toBe(1)
    await expect(withDeadline(Promise.reject(new Error('own')), 1000, 'The work')).rejects.toThrow('own')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('rejects when the time is over, and ignores what comes later', async () => {
    let finish: (error: Error) => void = () => {}
    const work = new Promise((_resolve, reject) => {
      finish = reject
    })
    const outcome = withDeadline(work, 1500, 'The work').catch((error: Error) => error.message)
    await vi.advanceTimersByTimeAsync(1500)
    expect(await outcome).toBe('The work has not settled in 1.5 s.')
    finish(new Error('too late'))
    await vi.advanceTimersByTimeAsync(0)
  })
})

describe('ExchangeDeadline', () => {
  const response = () => new EventEmitter() as unknown as Response & EventEmitter

  test('ends the exchange when its time is over', () => {
    const deadline = new ExchangeDeadline(1000, response())
    const cancel = vi.fn()
    deadline.add(cancel)
    vi.advanceTimersByTime(999)
    expect(deadline.reason).toBe(null)
    expect(cancel).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(deadline.reason).toMatchObject({ code: 'upstream_timeout', message: expect.stringContaining('within 1 s') })
    expect(cancel).toHaveBeenCalledExactlyOnceWith(deadline.reason)
  })

  test('ends the exchange when the browser leaves', () => {
    const res = response()
    const deadline = new ExchangeDeadline(1000, res)
    res.emit('close')
    expect(deadline.reason).toMatchObject({ code: 'upstream_failed' })
  })

  test('keeps its first reason, and calls each request once', () => {
    const res = response()
    const deadline = new ExchangeDeadline(1000, res)
    const cancel = vi.fn()
    deadline.add(cancel)
    res.emit('close')
    vi.advanceTimersByTime(1000)
    expect(deadline.reason).toMatchObject({ code: 'upstream_failed' })
    expect(cancel).toHaveBeenCalledTimes(1)
  })

  test('does not call a request that has ended', () => {
    const deadline = new ExchangeDeadline(1000, undefined)
    const cancel = vi.fn()
    deadline.add(cancel)
    deadline.remove(cancel)
    vi.advanceTimersByTime(1000)
    expect(cancel).not.toHaveBeenCalled()
  })

  test('leaves neither timer nor listener once it is over', () => {
    const res = response()
    const deadline = new ExchangeDeadline(1000, res)
    deadline.end()
    expect(vi.getTimerCount()).toBe(0)
    expect(res.listenerCount('close')).toBe(0)
    expect(deadline.reason).toMatchObject({ code: 'upstream_failed', message: 'This exchange is over.' })
  })

  test('ends what still runs once it is over, and what begins later', () => {
    const deadline = new ExchangeDeadline(1000, undefined)
    const cancel = vi.fn()
    deadline.add(cancel)
    deadline.end()
    expect(cancel).toHaveBeenCalledExactlyOnceWith(deadline.reason)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('leaves what runs until the deadline once the response is complete', () => {
    const res = Object.assign(response(), { writableEnded: true })
    const deadline = new ExchangeDeadline(1000, res)
    const [ended, late] = [vi.fn(), vi.fn()]
    deadline.add(ended)
    deadline.add(late)
    res.emit('close')
    expect(res.listenerCount('close')).toBe(0)
    expect(deadline.reason).not.toBe(null)
    deadline.remove(ended)
    vi.advanceTimersByTime(999)
    expect(late).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(late).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 'upstream_timeout' }))
    expect(ended).not.toHaveBeenCalled()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('leaves no timer once the last request has ended after the response', () => {
    const res = Object.assign(response(), { writableEnded: true })
    const deadline = new ExchangeDeadline(1000, res)
    const cancel = vi.fn()
    deadline.add(cancel)
    res.emit('close')
    expect(vi.getTimerCount()).toBe(1)
    deadline.remove(cancel)
    expect(vi.getTimerCount()).toBe(0)
  })
})
