import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Bucket,
  correct,
  fitsLimit,
  furtherOf,
  GATEWAYS_MAX,
  nextOf,
  type Share,
  shareAt,
  shareIndex,
  shareOf,
  spendUnlinked,
  usedOf,
} from '../../../analyzer/limit/bucket.ts'
import { emptyBucket } from './buckets.ts'

function sharesOf(bucket: Bucket): Share[] {
  const shares: Share[] = []
  for (let share: Share | null = bucket; share !== null; share = nextOf(share)) shares.push(share)
  return shares
}
const gateway = fc.constantFrom('', 'kong', 'nginx', 'envoy')
const amount = fc.integer({ min: 0, max: 1_000 })
const sums = fc.array(fc.record({ gateway, pending: amount, unlinked: amount }), { maxLength: 8 })

function bucketOf(parts: { gateway: string; pending: number; unlinked: number }[], settled: number): Bucket {
  const bucket = { ...emptyBucket(), settled }
  for (const part of parts) {
    shareOf(bucket, part.gateway).pending += part.pending
    spendUnlinked(bucket, part.gateway, part.unlinked, false)
  }
  return bucket
}
const total = (bucket: Bucket, side: 'pending' | 'unlinked') =>
  sharesOf(bucket).reduce(
    (sum, share) => sum + (side === 'pending' ? share.pending : (share.further?.unlinked ?? 0)),
    0,
  )

describe('used', () => {
  test('is never less than the larger of checks and records, never more than their sum', () => {
    fc.assert(
      fc.property(sums, amount, (parts, settled) => {
        const bucket = bucketOf(parts, settled)
        const [pending, unlinked] = [total(bucket, 'pending'), total(bucket, 'unlinked')]
        expect(usedOf(bucket)).toBeGreaterThanOrEqual(settled + Math.max(pending, unlinked))
        expect(usedOf(bucket)).toBeLessThanOrEqual(settled + pending + unlinked)
      }),
    )
  })

  test('of one gateway, or of nobody in particular, is the larger of the two', () => {
    fc.assert(
      fc.property(gateway, amount, amount, (name, pending, unlinked) => {
        expect(usedOf(bucketOf([{ gateway: name, pending, unlinked }], 0))).toBe(Math.max(pending, unlinked))
      }),
    )
  })

  test('of checks that named no gateway is the larger of them and the records of any', () => {
    fc.assert(
      fc.property(amount, amount, amount, (pending, first, second) => {
        const parts = [
          { gateway: '', pending, unlinked: 0 },
          { gateway: 'kong', pending: 0, unlinked: first },
          { gateway: 'nginx', pending: 0, unlinked: second },
        ]
        expect(usedOf(bucketOf(parts, 0))).toBe(Math.max(pending, first + second))
      }),
    )
  })

  test('never falls when something more is asked or recorded', () => {
    fc.assert(
      fc.property(sums, gateway, amount, fc.boolean(), (parts, name, more, isCheck) => {
        const bucket = bucketOf(parts, 0)
        const before = usedOf(bucket)
        if (isCheck) shareOf(bucket, name).pending += more
        else spendUnlinked(bucket, name, more, false)
        expect(usedOf(bucket)).toBeGreaterThanOrEqual(before)
      }),
    )
  })
})

test('a cost fits up to the limit; an unknown one while anything is left; nothing fits into 0', () => {
  expect([fitsLimit(9, 1, 10), fitsLimit(10, 1, 10), fitsLimit(9, 0, 10), fitsLimit(10, 0, 10)]).toEqual([
    true,
    false,
    true,
    false,
  ])
  expect([fitsLimit(0, 0, 0), fitsLimit(0, 1, 0)]).toEqual([false, false])
})

test('gateways beyond the bound count as nobody in particular, checks and records alike', () => {
  const bucket = emptyBucket()
  for (let index = 0; index < GATEWAYS_MAX + 5; index += 1) shareIndex(bucket, `gateway ${index}`)
  const names = sharesOf(bucket).map(share => share.gateway)
  expect(names).toHaveLength(GATEWAYS_MAX + 1)
  expect(names.map(name => shareIndex(bucket, name ?? ''))).toEqual([...names.keys()])
  expect(names.map((_, index) => shareAt(bucket, index)?.gateway)).toEqual(names)
  expect(shareAt(bucket, names.length)).toBeNull()
  expect(shareIndex(bucket, 'yet another')).toBe(shareIndex(bucket, ''))
})

test('a correction restores what the records alone would have made', () => {
  fc.assert(
    fc.property(
      sums,
      fc.array(amount, { maxLength: 5 }),
      gateway,
      fc.boolean(),
      (parts, doubled, name, isRecordsOnly) => {
        const bucket = bucketOf(parts, 50)
        const before = structuredClone(bucket)
        furtherOf(shareOf(before, name))
        for (const cost of doubled) spendUnlinked(bucket, name, cost, isRecordsOnly)
        const surplus = doubled.reduce((sum, cost) => sum + cost, 0)
        correct(bucket, furtherOf(shareOf(bucket, name)), -surplus, isRecordsOnly)
        expect(bucket).toEqual(before)
      },
    ),
  )
})
