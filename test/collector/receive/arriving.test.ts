import { EventEmitter } from 'node:events'
import type { ServerHttp2Stream } from 'node:http2'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createUnfinished, holdArriving, PIECE_BYTES } from '../../../collector/receive/arriving.ts'
import { createFlight } from '../../../collector/receive/flight.ts'

const framed = (message: Uint8Array) => {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

test('what is there of a message, and in how many pieces, is known wherever the stream is cut', () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(messages, fc.array(fc.nat(60), { maxLength: 8 }), (sent, cuts) => {
      const whole = Buffer.concat(sent.map(framed))
      const unfinished = createUnfinished()
      const ends: number[] = []
      let at = 0
      for (const cut of [...cuts, whole.length]) {
        const next = Math.min(whole.length, at + cut)
        const told = unfinished(whole.subarray(at, next))
        at = next
        ends.push(at)
        let begin = 0
        for (const message of sent) {
          const end = begin + 5 + message.length
          if (end > at) break
          begin = end
        }
        const pieces = at === begin ? 0 : ends.filter(end => end > begin).length
        expect(told).toBe(Math.max(0, at - begin - 5) + pieces * PIECE_BYTES)
      }
    }),
  )
})

test('a message that comes byte by byte is refused, also where nobody else sends', () => {
  const sender = Object.assign(new EventEmitter(), { close: () => undefined })
  let refused = 0
  holdArriving(sender as unknown as ServerHttp2Stream, createFlight(2 ** 25), () => refused++)
  sender.emit('data', Buffer.from([0, 0, 0x3f, 0xff, 0xff]))
  for (let pieces = 0; pieces < 2 ** 17 && refused === 0; pieces++) sender.emit('data', Buffer.from(' '))
  expect(refused).toBe(1)
})
