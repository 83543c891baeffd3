/** Lines whose senders wait for no answer, in bounded memory until they are durable. */
import assert from 'node:assert/strict'
import type { Line } from './lines.ts'

/** Handled at once. */
const BATCH_LINES_MAX = 2000
/** What a line takes beside its text, roughly. */
const LINE_BYTES = 200
const CHARACTER_BYTES = 2

export interface LineQueue {
  /** False when there is no room for the line. */
  offer(line: Pick<Line, 'text' | 'problem'>): boolean
  /** Resolves when there is room again; rejects when there never will be. */
  room(): Promise<void>
  /** Resolves when all that was offered was accepted. */
  done(): Promise<void>
  /** Rejects with what `accept` rejected with; nothing is accepted any more then. */
  failed: Promise<never>
}

/** `accept` gets the lines in order, one batch after the other, with numbers that no other line of the queue has. */
export function createLineQueue(bytesMax: number, accept: (lines: Line[]) => Promise<void>): LineQueue {
  let lines: Line[] = []
  let bytes = 0
  let number = 0
  let pumping: Promise<void> | null = null
  let hasFailed = false
  const { promise: failed, reject } = Promise.withResolvers<never>()
  failed.catch(() => undefined)
  let roomy = Promise.withResolvers<void>()

  const pump = async () => {
    while (lines.length > 0) {
      const batch = lines.splice(0, BATCH_LINES_MAX)
      await accept(batch)
      for (const line of batch) bytes -= bytesOf(line)
      if (bytes <= bytesMax / 2) {
        roomy.resolve()
        roomy = Promise.withResolvers()
      }
    }
    assert(bytes === 0, 'what was accepted has left')
    pumping = null
  }
  const fail = (error: unknown) => {
    hasFailed = true
    lines = []
    reject(error)
  }

  return {
    offer({ text, problem }) {
      if (hasFailed || (bytes > 0 && bytes + bytesOf({ text }) > bytesMax)) return false
      number++
      const line = { offset: number, number, text, problem }
      lines.push(line)
      bytes += bytesOf(line)
      pumping ??= pump().catch(fail)
      return true
    },
    async room() {
      if (hasFailed || bytes > bytesMax / 2) await Promise.race([roomy.promise, failed])
    },
    async done() {
      await pumping
      if (hasFailed) await failed
    },
    failed,
  }
}

const bytesOf = ({ text }: Pick<Line, 'text'>) => LINE_BYTES + text.length * CHARACTER_BYTES
