import { expect, test } from 'vitest'
import { LogError } from '../../../collector/log/call-log.ts'
import { patiently } from '../../../collector/receive/patience.ts'

const full = () => new LogError('LOG_FULL', 'The log is full')

function attempts(failures: readonly Error[]) {
  const left = [...failures]
  return async () => {
    const failure = left.shift()
    if (failure !== undefined) throw failure
    return 'done'
  }
}

async function run(attempt: () => Promise<string>, patienceMs = 60_000, signal = new AbortController().signal) {
  const waits: string[] = []
  const outcome = await patiently(attempt, { patienceMs, signal, onWait: reason => waits.push(reason) }).catch(String)
  return { outcome, waits }
}

test('waits for what passes', async () => {
  expect(await run(attempts([full()]))).toEqual({ outcome: 'done', waits: ['The log is full'] })
})

test.each([
  ['what does not pass', new LogError('LOG_CORRUPT', 'The log is damaged'), 60_000],
  ['what is no matter of the log', new Error('something else'), 60_000],
  ['what lasts too long', full(), 0],
])('gives up on %s', async (_what, error, patienceMs) => {
  expect(await run(attempts([error, full()]), patienceMs)).toMatchObject({ outcome: String(error), waits: [] })
})

test('tries no more once it is stopped', async () => {
  const stop = new AbortController()
  const running = run(async () => Promise.reject(full()), 60_000, stop.signal)
  setTimeout(() => stop.abort(), 50)
  expect((await running).outcome).toContain('The log is full')
})
