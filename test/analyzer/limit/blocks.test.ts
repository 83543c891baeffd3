import { BlockList, isIP } from 'node:net'
import fc from 'fast-check'
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
  ['203.0.113.0/24', '::ffff:203.0.113.9', true],
  ['203.0.113.0/24', '::ffff:cb00:7109', true],
  ['::ffff:203.0.113.0/120', '203.0.113.9', true],
  ['::ffff:203.0.113.0/120', '203.0.114.9', false],
  ['0.0.0.0/0', '2001:db8::1', false],
  ['::/0', '203.0.113.9', true],
  ['fe80::/10', 'fe80::1%eth0', true],
  ['2001:db8::1', '2001:0DB8:0:0::1', true],
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

const octet = fc.constantFrom(0, 1, 127, 128, 203, 255)
const group = fc.constantFrom('0', '1', '7fff', '8000', 'cb00', 'db8', 'ffff')
const four = fc.array(octet, { minLength: 4, maxLength: 4 }).map(octets => octets.join('.'))
const six = fc.oneof(
  fc.array(group, { minLength: 8, maxLength: 8 }).map(groups => groups.join(':')),
  fc.tuple(fc.array(group, { maxLength: 3 }), fc.array(group, { maxLength: 3 })).map(([left, right]) => {
    return `${left.join(':')}::${right.join(':')}`
  }),
  four.map(address => `::ffff:${address}`),
)
const address = fc.oneof(four, six)
const range = fc.oneof(
  address,
  fc.tuple(four, fc.integer({ min: 0, max: 32 })).map(([of, length]) => `${of}/${length}`),
  fc.tuple(six, fc.integer({ min: 0, max: 128 })).map(([of, length]) => `${of}/${length}`),
)
const familyOf = (of: string) => (isIP(of) === 6 ? 'ipv6' : 'ipv4')

test('an address is in the ranges in which Node finds it, one after the other', () => {
  const isIn = (value: string, asked: string) => {
    const [of = '', length = isIP(of) === 6 ? 128 : 32] = value.split('/')
    const list = new BlockList()
    list.addSubnet(of, Number(length), familyOf(of))
    return list.check(asked, familyOf(asked))
  }
  const blocks = fc.array(fc.tuple(range, fc.constantFrom(500, 2_000, 3_000)), { maxLength: 8 })
  fc.assert(
    fc.property(blocks, address, (values, clientIp) => {
      const found = createBlocks(values.map(([value, untilMs]) => block('address', value, untilMs)))
      const ends = values.flatMap(([value, untilMs]) => (untilMs > 1_000 && isIn(value, clientIp) ? [untilMs] : []))
      expect(found({ ...caller, clientIp })?.untilMs ?? 0).toBe(Math.max(0, ...ends))
    }),
    { numRuns: 2_000 },
  )
})

test('ten thousand ranges are looked up about as fast as ten', () => {
  const tookMs = (count: number) => {
    const find = createBlocks(
      Array.from({ length: count }, (_, index) => block('address', `10.${index >> 8}.${index & 255}.0/24`)),
    )
    const times = Array.from({ length: 20 }, () => {
      const beginMs = performance.now()
      for (let last = 0; last < 100; last += 1) expect(find({ ...caller, clientIp: `203.0.113.${last}` })).toBeNull()
      return performance.now() - beginMs
    })
    return Math.min(...times)
  }
  tookMs(10)
  expect(tookMs(10_000)).toBeLessThan(20 * tookMs(10))
})
