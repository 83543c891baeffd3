import { expect, test } from 'vitest'
import { createBlocks, isAddressRange } from '../../../analyzer/limit/blocks.ts'
import type { Block } from '../../../analyzer/policy/adjustment.ts'

const caller = { tenant: null, consumer: null, clientIp: null, nowMs: 1_000 }
const block = (what: Block['what'], value: string, untilMs: number | null = null): Block => ({ what, value, untilMs })

test.each([
  ['203.0.113.9', '203.0.113.9', true],
  ['203.0.113.9', '203.0.113.8', false],
  ['203.0.113.0/24', '203.0.113.255', true],
  ['203.0.113.0/24', '203.0.114.0', false],
  ['0.0.0.0/0', '198.51.100.1', true],
  ['2001:db8::/32', '2001:db8:1::1', true],
  ['2001:db8::/32', '2001:db9::1', false],
  ['2001:db8::/32', '203.0.113.9', false],
  ['203.0.113.0/24', 'nonsense', false],
  ['203.0.113.0/24', '203.0.113.9:4711', true],
  ['2001:db8::/32', '[2001:db8:1::1]:4711', true],
  ['2001:db8::/32', '[2001:db8:1::1]', true],
])('%s holds %s: %s', (range, clientIp, expected) => {
  expect(createBlocks([block('address', range)])({ ...caller, clientIp }) !== null).toBe(expected)
})

test.each(['', '203.0.113', '203.0.113.0/33', '203.0.113.0/', '2001:db8::/129', '203.0.113.0/24/1'])(
  '%j is no range',
  value => {
    expect(isAddressRange(value)).toBe(false)
    expect(createBlocks([block('address', value)])({ ...caller, clientIp: '203.0.113.9' })).toBeNull()
  },
)

test('of several blocks the one that lasts longest holds, in whatever order and of whatever they are', () => {
  const ip = '203.0.113.9'
  const met = { ...caller, tenant: 'acme', consumer: 'web', clientIp: ip }
  const short = [block('tenant', 'acme', 2_000), block('consumer', 'web', 2_000), block('address', ip, 2_000)]
  for (const one of short) {
    for (const other of short) {
      const long = { ...other, untilMs: null }
      for (const both of [
        [one, long],
        [long, one],
      ]) {
        const find = createBlocks(both)
        expect([find(met), find({ ...met, nowMs: 2_000 })]).toEqual([long, long])
      }
    }
  }
})

test('a block ends at its instant', () => {
  const find = createBlocks([block('tenant', 'acme', 2_000)])
  expect(find({ ...caller, tenant: 'acme', nowMs: 1_999 })).not.toBeNull()
  expect(find({ ...caller, tenant: 'acme', nowMs: 2_000 })).toBeNull()
  expect(find({ ...caller, tenant: 'other' })).toBeNull()
})

test('of blocks that stay nothing is made anew when another one comes', () => {
  let looked = 0
  const blocks = Array.from({ length: 100 }, (_, index): Block => {
    const address = `203.0.113.${index}`
    return {
      what: 'address',
      untilMs: null,
      get value() {
        looked += 1
        return address
      },
    }
  })
  createBlocks(blocks)
  looked = 0
  const find = createBlocks([...blocks, block('address', '198.51.100.1')])
  expect(looked).toBe(0)
  expect(find({ ...caller, clientIp: '203.0.113.99' })).toBe(blocks.at(-1))
  expect(find({ ...caller, clientIp: '198.51.100.1' })).not.toBeNull()
})
