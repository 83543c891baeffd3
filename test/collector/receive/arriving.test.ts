import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createUnfinished, PIECE_BYTES } from '../../../collector/receive/arriving.ts'

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
