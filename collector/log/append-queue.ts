/**
 * Group commit: while one group of appends is being made durable, all that arrive wait together and become the next
 * group, one transaction and as few blocks as fit. The order of calls is the order in the log.
 */
import assert from 'node:assert/strict'
import { cutIntoBlocks, encodeBlock, VALUE_CHARACTERS_MAX } from './block.ts'
import { LogError } from './call-log.ts'

/** Most characters that may wait; more is refused, so that a slow disk cannot fill the memory. */
export const PENDING_CHARACTERS_MAX = 64 * 2 ** 20
/** A group is closed when it reaches this many characters, so that one transaction stays short. */
const GROUP_CHARACTERS_MAX = 4 * 2 ** 20

export interface EncodedBlock {
  count: number
  /** Length of all values together, so that a reader can bound what it decodes before it does. */
  characters: number
  bytes: Buffer
}

export interface AppendQueue {
  /** Resolves when `commit` has resolved for all of the values; rejects with its error, or `LOG_UNAVAILABLE`. */
  append(values: readonly string[]): Promise<void>
  /** Refuses further appends and resolves when the pending ones are settled. */
  close(): Promise<void>
}

interface PendingAppend {
  values: readonly string[]
  characters: number
  settle: (error: unknown) => void
}

/** `commit` makes the blocks of a group durable, all or none; it is never called twice at once. */
export function createAppendQueue(commit: (blocks: EncodedBlock[]) => Promise<void>): AppendQueue {
  let pending: PendingAppend[] = []
  let pendingCharacters = 0
  let running: Promise<void> | null = null
  let isClosed = false

  const run = async (): Promise<void> => {
    let committing: Promise<void> = Promise.resolve()
    while (pending.length > 0) {
      const group = takeGroup(pending)
      pending = pending.slice(group.length)
      const encoded = encodeGroup(group)
      // Compressing a group while the one before it is synced keeps both cores busy.
      await Promise.allSettled([encoded, committing])
      committing = settleGroup(group, encoded, commit).then(() => {
        for (const append of group) pendingCharacters -= append.characters
      })
      if (pending.length === 0) await committing
    }
    running = null
  }

  return {
    append(values) {
      if (isClosed) return Promise.reject(new LogError('LOG_UNAVAILABLE', 'The log is closed'))
      if (values.length === 0) return Promise.resolve()
      let characters = 0
      for (const value of values) {
        assert(value.length <= VALUE_CHARACTERS_MAX, 'a value of the log is longer than VALUE_CHARACTERS_MAX')
        characters += value.length
      }
      if (pendingCharacters > 0 && pendingCharacters + characters > PENDING_CHARACTERS_MAX) {
        return Promise.reject(new LogError('LOG_UNAVAILABLE', 'Too much is waiting to be written to the log'))
      }
      pendingCharacters += characters
      return new Promise((resolve, reject) => {
        const settle = (error: unknown): void => (error === null ? resolve() : reject(error))
        pending.push({ values, characters, settle })
        running ??= run()
      })
    },
    async close() {
      isClosed = true
      await running
    },
  }
}

function takeGroup(pending: readonly PendingAppend[]): PendingAppend[] {
  let characters = 0
  const end = pending.findIndex(append => {
    characters += append.characters
    return characters >= GROUP_CHARACTERS_MAX
  })
  return pending.slice(0, end === -1 ? pending.length : end + 1)
}

async function encodeGroup(group: readonly PendingAppend[]): Promise<EncodedBlock[]> {
  const values = group.length === 1 && group[0] ? group[0].values : group.flatMap(append => append.values)
  return Promise.all(
    Array.from(cutIntoBlocks(values), async run => ({
      count: run.length,
      characters: run.reduce((sum, value) => sum + value.length, 0),
      bytes: await encodeBlock(run),
    })),
  )
}

async function settleGroup(
  group: readonly PendingAppend[],
  encoded: Promise<EncodedBlock[]>,
  commit: (blocks: EncodedBlock[]) => Promise<void>,
): Promise<void> {
  const error = await encoded.then(commit).then(
    () => null,
    (reason: unknown) => reason,
  )
  for (const append of group) append.settle(error)
}
