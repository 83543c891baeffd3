import fc from 'fast-check'
import protobuf from 'protobufjs'
import { describe, expect, test } from 'vitest'
import { decodeProtobuf, type Message, many, map, one, ProtobufError } from '../../../collector/receive/protobuf.ts'

const SOURCE = `
  syntax = "proto3";
  message All {
    string text = 1; bytes id = 2; bytes raw = 3; bool flag = 4; int32 small = 5; int64 large = 6; uint64 positive = 7;
    fixed64 nanos = 8; double real = 9; All inner = 10; repeated All items = 11; map<string, All> byName = 12;
    string unread = 99;
  }`
const All = protobuf.parse(SOURCE).root.lookupType('All')
const all: Message = {
  1: one('text', 'string'),
  2: one('id', 'hex'),
  3: one('raw', 'base64'),
  4: one('flag', 'bool'),
  5: one('small', 'int32'),
  6: one('large', 'int64'),
  7: one('positive', 'uint64'),
  8: one('nanos', 'fixed64'),
  9: one('real', 'double'),
  10: one('inner', () => all),
  11: many('items', () => all),
  12: map('byName', () => all),
}
const MESSAGES_MAX = 1000
const decode = (bytes: Uint8Array, messagesMax = MESSAGES_MAX) => decodeProtobuf(Buffer.from(bytes), all, messagesMax)
const encode = (message: object) => All.encode(All.fromObject(message)).finish()

describe('a message', () => {
  test('becomes what its JSON mapping holds, and nothing of what is not read', () => {
    const message = {
      ...{ text: 'é', flag: true, small: -5, large: '-9007199254740993', positive: '18446744073709551615' },
      ...{ nanos: '1784620800123000001', real: 0.5, inner: { items: [{ small: 1 }, {}] } },
      byName: { one: { text: 'x' }, two: {} },
    }
    const bytes = encode({ ...message, id: Buffer.from('00f0', 'hex'), raw: Buffer.from('raw'), unread: 'x' })
    expect(decode(bytes)).toEqual({ ...message, id: '00f0', raw: Buffer.from('raw').toString('base64') })
  })

  test('may name an entry of a map as it likes', () => {
    const bytes = All.encode(All.create({ byName: Object.fromEntries([['__proto__', All.create({ text: 'x' })]]) }))
    const { byName } = decode(bytes.finish())
    expect(Object.keys(byName as object)).toEqual(['__proto__'])
    expect(({} as Record<string, unknown>).text).toBeUndefined()
  })
})

describe('bytes that are none', () => {
  const codeOf = (attempt: () => unknown) => {
    try {
      attempt()
      return null
    } catch (error) {
      return error instanceof ProtobufError ? error.code : 'other'
    }
  }

  test('are refused and never throw otherwise, nor is a message that was cut', () => {
    const whole = encode({ text: 'hello', inner: { items: [{ large: 1 }, { byName: { a: { text: 'b' } } }] } })
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat({ max: whole.length }), (noise, cut) => {
        for (const bytes of [noise, whole.subarray(0, cut), Buffer.concat([whole.subarray(0, cut), noise])]) {
          expect([null, 'MESSAGE_UNREADABLE']).toContain(codeOf(() => decode(bytes)))
        }
      }),
    )
  })

  test('are bounded in depth and in number', () => {
    const nested = (depth: number): object => (depth === 0 ? {} : { inner: nested(depth - 1) })
    expect(codeOf(() => decode(encode(nested(32))))).toBeNull()
    expect(codeOf(() => decode(encode(nested(33))))).toBe('MESSAGE_UNREADABLE')
    expect(codeOf(() => decode(encode({ items: Array(MESSAGES_MAX).fill({}) })))).toBe('MESSAGE_TOO_LARGE')
  })
})
