import { expect, test } from 'vitest'
import { canonical } from '../../../collector/normalize/canonical.ts'
import { splitBody } from '../../../collector/receive/body.ts'
import { plainSource } from '../../../collector/receive/source.ts'
import { tryBatch } from '../../../collector/receive/trial.ts'
import { normalizerFor } from '../normalize/normalizer.ts'

const KEY = 'a-raw-key'
const source = plainSource(canonical)
const tried = (inputs: readonly unknown[]) => {
  const shape = { source, fileStem: null, isNdjson: false, recordsMax: 10_000 }
  return tryBatch(splitBody(Buffer.from(JSON.stringify(inputs)), shape), source, normalizerFor(), Date.now())
}

test('says of each field how many calls have it, what is dropped, and what is rejected', () => {
  const trial = tried([
    { startedAtMs: 1, credential: KEY, status: 200, labels: { team: 'a' } },
    { startedAtMs: 2, route: `/x?token=${KEY}` },
    { startedAtMs: 3, status: 'ok', credential: KEY },
    { startedAtMs: 3, status: 'fine' },
    { status: 200 },
  ])
  expect(trial).toMatchObject({
    ...{ inputs: 5, calls: 2, noCalls: 0, dialects: { canonical: 2 } },
    dropped: { credential: 2, '?token=': 1 },
    rejections: [
      { reason: 'invalid_field', count: 2, position: 3 },
      { reason: 'missing_field', count: 1, position: 5 },
    ],
  })
  const counts = Object.fromEntries(trial.fields.map(({ field, count }) => [field, count]))
  expect(counts).toMatchObject({ startedAtMs: 2, consumer: 1, status: 1, route: 1, model: 0, 'labels.team': 1 })
  expect(counts).not.toHaveProperty('callId')
  expect(JSON.stringify(trial)).not.toContain(KEY)
})

test('tells no more kinds of rejections apart than somebody can read', () => {
  const { rejections } = tried(Array.from({ length: 1000 }, (_, n) => ({ startedAtMs: 1, [`field-${n}`]: n })))
  expect(rejections.length).toBeLessThan(60)
  expect(rejections.reduce((sum, { count }) => sum + count, 0)).toBe(1000)
})
