/**
 * An exact set of call ids in a bounded number of bytes. When it is full it forgets the older half, and says from
 * which start of a call on it is complete: an id at or above that which is not in the set was never added.
 *
 * Open addressing with linear probing in typed arrays: 20 bytes a slot, no garbage, a tenth of what a `Set` of strings
 * takes. Ids are hashes, so their bits need only little mixing.
 */
import assert from 'node:assert/strict'

const ID_WORDS = 4
const SLOT_BYTES = ID_WORDS * 4 + 4
const SLOTS_MIN = 1_024
/** Above this part of the slots, probing becomes slow. */
const LOAD_MAX = 0.7
/**
 * Slots of a table that are moved into its larger successor whenever an id is added: all of them long before that is full,
 * and never so many that others wait.
 */
const SLOTS_MOVED_AT_ONCE = 16
/** Slots that are looked at to find the middle of all starts. */
const SAMPLE_SIZE = 4_096

export interface CallIdSet {
  /** True when the id was not in the set and is now; false when it was, or began below `completeFromMs`. */
  add(id: string, startedAtMs: number): boolean
  has(id: string): boolean
  /** Drops all ids that began before; from then on the set is complete from there. For the horizon of the store. */
  forgetBefore(startedAtMs: number): void
  /** The set holds every id that was added with a start at or above this, Unix milliseconds. */
  readonly completeFromMs: number
  readonly size: number
}

/** `bytesMax` bounds the tables at every moment, growth included. Ids are UUIDs as text. */
export function createCallIdSet({ bytesMax }: { bytesMax: number }): CallIdSet {
  // While a table grows into one twice its size, both are held.
  const slotsMax = Math.max(SLOTS_MIN, 2 ** Math.floor(Math.log2(bytesMax / SLOT_BYTES / 1.5)))
  const id = new Uint32Array(ID_WORDS)
  let table = createTable(SLOTS_MIN)
  /** What the table has grown out of, and how far it was moved. */
  let former: { table: Table; movedSlots: number } | null = null
  let completeFromSeconds = 0

  const move = (slotsMax: number): void => {
    if (former === null) return
    const to = Math.min(former.table.slots, former.movedSlots + slotsMax)
    for (let slot = former.movedSlots; slot < to; slot++) moveSlot(former.table, slot, table)
    former.movedSlots = to
    if (to === former.table.slots) former = null
  }

  const forget = (seconds: number): void => {
    if (seconds <= completeFromSeconds) return
    completeFromSeconds = seconds
    move(Number.POSITIVE_INFINITY)
    dropBefore(table, seconds)
  }
  const makeRoom = (): void => {
    move(SLOTS_MOVED_AT_ONCE)
    if (table.size < table.slots * LOAD_MAX) return
    if (table.slots >= slotsMax) forget(middleOf(table))
    else {
      former = { table, movedSlots: 0 }
      table = createTable(2 * table.slots)
    }
  }
  const isIn = (): boolean =>
    table.starts[slotOf(table, id)] !== 0 || (former !== null && former.table.starts[slotOf(former.table, id)] !== 0)

  return {
    add(text, startedAtMs) {
      const seconds = Math.floor(startedAtMs / 1_000)
      makeRoom()
      if (seconds < completeFromSeconds) return false
      readId(text, id)
      if (isIn()) return false
      place(table, slotOf(table, id), id, seconds + 1)
      return true
    },
    has(text) {
      readId(text, id)
      return isIn()
    },
    forgetBefore: startedAtMs => forget(Math.ceil(startedAtMs / 1_000)),
    get completeFromMs() {
      return completeFromSeconds * 1_000
    },
    get size() {
      return table.size + (former?.table.size ?? 0)
    },
  }
}

interface Table {
  slots: number
  size: number
  words: Uint32Array
  /** Start of the call in seconds since 1970, plus one; 0 is a free slot. */
  starts: Uint32Array
}

function createTable(slots: number): Table {
  return { slots, size: 0, words: new Uint32Array(slots * ID_WORDS), starts: new Uint32Array(slots) }
}

/** The slot that holds the id, or the free one where it belongs. */
function slotOf(table: Table, id: Uint32Array): number {
  const { words, starts } = table
  const mask = table.slots - 1
  let slot = homeOf(id, 0) & mask
  while (starts[slot] !== 0) {
    const at = slot * ID_WORDS
    if (words[at] === id[0] && words[at + 1] === id[1] && words[at + 2] === id[2] && words[at + 3] === id[3]) break
    slot = (slot + 1) & mask
  }
  return slot
}

function homeOf(words: Uint32Array, at: number): number {
  const mixed =
    word(words, at) ^ Math.imul(word(words, at + 1), 0x9e3779b1) ^ Math.imul(word(words, at + 3), 0x85ebca6b)
  return mixed ^ (mixed >>> 15)
}

function place(table: Table, slot: number, id: Uint32Array, start: number): void {
  table.words.set(id, slot * ID_WORDS)
  table.starts[slot] = start
  table.size++
}

/** What is moved stays where it was as well: probing finds what is behind it. */
function moveSlot(from: Table, slot: number, to: Table): void {
  const start = word(from.starts, slot)
  if (start === 0) return
  const id = from.words.subarray(slot * ID_WORDS, (slot + 1) * ID_WORDS)
  place(to, slotOf(to, id), id, start)
  from.size--
}

/** Above the middle start, give or take; above the last one if nearly all began in the same second. */
function middleOf(table: Table): number {
  const sample: number[] = []
  const step = Math.max(1, Math.floor(table.slots / SAMPLE_SIZE))
  for (let slot = 0; slot < table.slots; slot += step) {
    const start = word(table.starts, slot)
    if (start !== 0) sample.push(start - 1)
  }
  sample.sort((a, b) => a - b)
  const middle = sample[sample.length >> 1] ?? 0
  return middle + 1
}

/** In place: a second table would break the bound. What a removal pulls into a slot is looked at in its turn. */
function dropBefore(table: Table, seconds: number): void {
  for (let slot = 0; slot < table.slots; slot++) {
    while (isBefore(word(table.starts, slot), seconds)) removeAt(table, slot)
  }
}

function isBefore(start: number, seconds: number): boolean {
  return start !== 0 && start - 1 < seconds
}

/** Closes the gap by moving later entries of the same run back, so that no tombstones are needed. */
function removeAt(table: Table, removed: number): void {
  const mask = table.slots - 1
  let gap = removed
  let slot = (gap + 1) & mask
  while (table.starts[slot] !== 0) {
    const home = homeOf(table.words, slot * ID_WORDS) & mask
    if (((slot - home) & mask) >= ((slot - gap) & mask)) {
      table.words.copyWithin(gap * ID_WORDS, slot * ID_WORDS, (slot + 1) * ID_WORDS)
      table.starts[gap] = word(table.starts, slot)
      gap = slot
    }
    slot = (slot + 1) & mask
  }
  table.starts[gap] = 0
  table.size--
}

/** The words of a UUID, read without making strings. */
function readId(text: string, id: Uint32Array): void {
  assert.equal(text.length, 36, 'a call id is a UUID')
  let at = 0
  for (let index = 0; index < ID_WORDS; index++) {
    let value = 0
    for (let digits = 0; digits < 8; at++) {
      const code = text.charCodeAt(at)
      if (code === DASH) continue
      value = (value << 4) | (code <= DIGIT_NINE ? code - DIGIT_ZERO : (code | LOWER_CASE) - LETTER_A + 10)
      digits++
    }
    id[index] = value
  }
}

const DASH = 45
const DIGIT_ZERO = 48
const DIGIT_NINE = 57
const LETTER_A = 97
const LOWER_CASE = 32

/** Every index that is asked for is within the table. */
function word(words: Uint32Array, at: number): number {
  return words[at] ?? 0
}
