/**
 * The messages of a stream that nobody answers, held within the memory of all bodies from when they are whole until they
 * are handled. They are there to the last one also when their sender has gone: nobody would send them again.
 */
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Flight } from './flight.ts'

const ROOM_POLL_MS = 20

export interface StreamMessages {
  /** All that come, in order. Each is let go when the next one is asked for. */
  read(): AsyncGenerator<Buffer, void>
  /** Takes the message as soon as there is room. */
  put(message: Buffer): void
  /** No more come. */
  end(): void
  /** Nobody handles any more of them. */
  close(): void
}

interface StreamEvents {
  /** Has the next message put; called again only when that was taken. */
  ask: () => void
  onClose: () => void
}

export function createStreamMessages(flight: Flight, { ask, onClose }: StreamEvents): StreamMessages {
  const held = new Set<Buffer>()
  const queue = new Readable({ objectMode: true, autoDestroy: false, read: ask })
  let putting: Promise<void> = Promise.resolve()
  const leave = (message: Buffer) => {
    held.delete(message)
    flight.leave(message)
  }
  const put = async (message: Buffer) => {
    while (!queue.destroyed && !flight.enter(message, message.length)) await sleep(ROOM_POLL_MS)
    if (queue.destroyed) return leave(message)
    held.add(message)
    queue.push(message)
  }
  return {
    async *read() {
      for await (const message of queue as AsyncIterable<Buffer>) {
        try {
          yield message
        } finally {
          leave(message)
        }
      }
    },
    put(message) {
      putting = put(message)
    },
    end: () => void putting.then(() => queue.push(null)),
    close() {
      queue.destroy()
      for (const message of held) leave(message)
      onClose()
    },
  }
}
