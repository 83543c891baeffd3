import { PassThrough, Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type CallLog, LogError } from '../../../collector/log/call-log.ts'
import { createIntake } from '../../../collector/receive/intake.ts'
import { importStream } from '../../../collector/receive/stream.ts'
import { logger, openTestLog, type TestLog } from './fixture.ts'
import { callLine, normalizer, numbers, sourceOf, tokensOf, untilCalls } from './listening.ts'

let testLog: TestLog
beforeEach(async () => {
  testLog = await openTestLog()
})
afterEach(() => testLog.close())

const read = (
  stream: Readable,
  dialect = 'canonical',
  signal = new AbortController().signal,
  append: CallLog['append'] = testLog.log.append,
) =>
  importStream(stream, sourceOf(dialect), {
    intake: createIntake({ log: { append }, normalizer, logger, now: Date.now }),
    onTaken: () => undefined,
    signal,
  })

test('lines are calls, each time new ones, and the last one needs no break', async () => {
  const text = `${callLine(0)}\nbad\n${callLine(1)}`
  const chunks = Array.from({ length: Math.ceil(text.length / 7) }, (_, n) => Buffer.from(text.slice(7 * n, 7 * n + 7)))
  await read(Readable.from(chunks))
  await read(Readable.from(chunks))
  const calls = await testLog.calls()
  expect(tokensOf(calls)).toEqual([0, 1, 0, 1])
  expect(new Set(calls.map(({ callId }) => callId)).size).toBe(4)
  expect(await testLog.rejections()).toHaveLength(2)
})

test('the first line may name the columns', async () => {
  await read(Readable.from([Buffer.from('tokens,at\n'), Buffer.from('7,1700000000000\n')]), 'plain')
  expect(tokensOf(await testLog.calls())).toEqual([7])
})

test('a signal ends what would go on for ever, and leaves out a line that is not whole', async () => {
  const stop = new AbortController()
  const stream = new PassThrough()
  const reading = read(stream, 'canonical', stop.signal)
  stream.write(`${numbers(100).map(callLine).join('\n')}\n${callLine(100)}`)
  await untilCalls(testLog, 100)
  stop.abort()
  await reading
  expect(await testLog.calls()).toHaveLength(100)
})

test('a signal does not drop the lines that had come and were waiting for the log', async () => {
  const stop = new AbortController()
  const stream = new PassThrough()
  const blocked = Promise.withResolvers<void>()
  const reading = read(stream, 'canonical', stop.signal, async (topic, entries) => {
    await blocked.promise
    await testLog.log.append(topic, entries)
  })
  for (const tokens of numbers(10)) {
    stream.write(`${callLine(tokens)}\n`)
    await nextTurn()
  }
  stop.abort()
  blocked.resolve()
  await reading
  expect(tokensOf(await testLog.calls())).toEqual(numbers(10))
})

test('a signal does not hide that lines had come which the log did not take', async () => {
  const stop = new AbortController()
  const stream = new PassThrough()
  const reading = read(stream, 'canonical', stop.signal, async () => {
    stop.abort()
    throw new LogError('LOG_FULL', 'The log is full')
  })
  stream.write(`${callLine(0)}\n`)
  await expect(reading).rejects.toThrow('The log is full')
})
