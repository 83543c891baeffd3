import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { createLifecycle } from '../../deploy/lifecycle.ts'

class OwnProcess extends EventEmitter {
  connected = false
  readonly exits: number[] = []
  exit(code: number) {
    this.exits.push(code)
  }
}

let own: OwnProcess
const open = (deadlineMs?: number) =>
  createLifecycle({ log: pino({ level: 'silent' }), process: own, ...(deadlineMs === undefined ? {} : { deadlineMs }) })
beforeEach(() => {
  own = new OwnProcess()
})

describe('the end of a process', () => {
  test('closes in reverse order, one after the other', async () => {
    const lifecycle = open()
    const closed: string[] = []
    for (const name of ['log', 'store', 'http']) {
      lifecycle.onStop(name, async () => {
        await sleep(2)
        closed.push(name)
      })
    }
    own.emit('SIGTERM')
    expect(await lifecycle.stopped).toBe(0)
    expect(closed).toEqual(['http', 'store', 'log'])
  })

  test('goes on after a part that fails to close, and is then no success', async () => {
    const lifecycle = open()
    let isLogClosed = false
    lifecycle.onStop('log', () => {
      isLogClosed = true
    })
    lifecycle.onStop('http', () => Promise.reject(new Error('stuck')))
    own.emit('SIGTERM')
    expect(await lifecycle.stopped).toBe(1)
    expect(isLogClosed).toBe(true)
  })

  test('is cut off at the deadline', async () => {
    const lifecycle = open(10)
    lifecycle.onStop('http', () => new Promise(() => {}))
    own.emit('SIGTERM')
    await expect.poll(() => own.exits).toEqual([1])
  })

  test('is immediate at the second Ctrl-C, but not when SIGTERM comes from two sides', () => {
    const lifecycle = open()
    lifecycle.onStop('http', () => new Promise(() => {}))
    own.emit('SIGTERM')
    own.emit('SIGTERM')
    expect(own.exits).toEqual([])
    own.emit('SIGINT')
    expect(own.exits).toEqual([1])
  })

  test('is not cut off by one Ctrl-C that comes twice, from the terminal and from npm, but by the next', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    try {
      const lifecycle = open()
      lifecycle.onStop('forever', () => new Promise(() => {}))
      own.emit('SIGINT')
      vi.advanceTimersByTime(100)
      own.emit('SIGINT')
      expect(own.exits).toEqual([])
      vi.advanceTimersByTime(2_000)
      own.emit('SIGINT')
      expect(own.exits).toEqual([1])
    } finally {
      vi.useRealTimers()
    }
  })

  test('closes at once what was opened while it was under way', async () => {
    const lifecycle = open()
    own.emit('SIGTERM')
    await lifecycle.stopped
    let isClosed = false
    lifecycle.onStop('late', () => {
      isClosed = true
    })
    expect(isClosed).toBe(true)
  })

  test('of a supervised process is not the business of Ctrl-C, but of its supervisor, or of the loss of it', async () => {
    own.connected = true
    const lifecycle = open()
    let isClosed = false
    lifecycle.onStop('http', () => {
      isClosed = true
    })
    own.emit('SIGINT')
    await sleep(1)
    expect(isClosed).toBe(false)
    own.emit('disconnect')
    expect(await lifecycle.stopped).toBe(0)
  })

  test.each(['uncaughtException', 'unhandledRejection'])('comes at once with a bug (%s)', event => {
    open()
    own.emit(event, new Error('bug'))
    expect(own.exits).toEqual([1])
  })

  test('does not come with a commit to the disk that failed, of which whoever wrote is told', () => {
    open()
    const commitError = Promise.reject(new Error('No space left on device'))
    commitError.catch(() => undefined)
    own.emit('unhandledRejection', Object.assign(new Error('Commit failed'), { commitError }))
    expect(own.exits).toEqual([])
  })
})
