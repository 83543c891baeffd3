import { expect, test } from 'vitest'
import { firstBroker } from '../../../deploy/gateways/line-setups.ts'

test.each([
  ['kafka:9092,other:9093', { host: 'kafka', port: '9092' }],
  ['[2001:db8::1]:9092', { host: '2001:db8::1', port: '9092' }],
])('gateways are told host and port of the first broker: %s', (brokers, expected) => {
  expect(firstBroker(brokers)).toEqual(expected)
})
