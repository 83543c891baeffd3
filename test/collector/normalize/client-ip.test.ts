import { isIPv6 } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { clientIpOf } from '../../../collector/normalize/client-ip.ts'

const mark = (address: string) => `ip:(${address})`

test.each([
  ['203.0.113.77', '203.0.113.0'],
  ['203.0.113.77:4711', '203.0.113.0'],
  ['203.0.113.77, 10.0.0.1', '203.0.113.0'],
  ['::ffff:203.0.113.77', '203.0.113.0'],
  ['2001:db8:abcd:12::1', '2001:db8:abcd::'],
  ['[2001:db8:abcd:12::1]:443', '2001:db8:abcd::'],
  ['2001:db8::1', '2001:db8:0::'],
  ['::1', '0:0:0::'],
  ['fe80::1%eth0', 'fe80:0:0::'],
  ['unix:', null],
  ['203.0.113.777', null],
])('%s is truncated to %s', (text, kept) => {
  expect(clientIpOf(text, 'truncated', mark)).toBe(kept)
})

test('the other policies', () => {
  expect(clientIpOf('203.0.113.77', 'full', mark)).toBe('203.0.113.77')
  expect(clientIpOf('203.0.113.77', 'hashed', mark)).toBe('ip:(203.0.113.77)')
  expect(clientIpOf('203.0.113.77', 'dropped', mark)).toBeNull()
})

test('a truncated address is an address without its own part', () => {
  fc.assert(
    fc.property(fc.ipV6(), address => {
      const kept = clientIpOf(address, 'truncated', mark)
      if (kept?.includes('.')) return
      expect(isIPv6(kept ?? '')).toBe(true)
    }),
  )
})
