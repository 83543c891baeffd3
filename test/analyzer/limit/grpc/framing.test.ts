import { expect, test } from 'vitest'
import { frame, timeoutMs, unframe } from '../../../../analyzer/limit/grpc/framing.ts'
import { GRPC } from '../../../../analyzer/limit/grpc/rpc.ts'

test('a message comes back from its frame', () => {
  const message = Buffer.from('hello')
  const framed = frame(message)
  expect(framed.toString('hex')).toBe('000000000568656c6c6f')
  expect(unframe(framed)).toEqual(message)
  expect(unframe(frame(Buffer.alloc(0)))).toHaveLength(0)
})

test('half a message, two of them and a compressed one are refused', () => {
  const framed = frame(Buffer.from('hello'))
  const compressed = Buffer.from(framed)
  compressed[0] = 1
  const codeOf = (...chunks: Buffer[]) => {
    try {
      unframe(Buffer.concat(chunks))
      return null
    } catch (error) {
      return (error as { code: number }).code
    }
  }
  for (const chunks of [[], [framed.subarray(0, 4)], [framed.subarray(0, 9)], [framed, framed]]) {
    expect(codeOf(...chunks)).toBe(GRPC.invalidArgument)
  }
  expect(codeOf(compressed)).toBe(GRPC.unimplemented)
})

test('timeouts are read in all units of the protocol, and nothing else is one', () => {
  expect(['20m', '1S', '2M', '3H', '500u', '1n'].map(timeoutMs)).toEqual([20, 1000, 120_000, 10_800_000, 0.5, 1e-6])
  for (const text of ['', '20', 'm', '1.5S', '-1m', '123456789m', '1s']) expect(timeoutMs(text)).toBeNull()
})
