/**
 * Series of many subjects, packed: about a byte and a half for an hour that was used, none for one that was not. As arrays
 * of numbers they would take twelve. An entry is what one slot (an hour, a step) holds; slots ascend.
 *
 * In bytes, numbers as LEB128: `2 × units` for a slot of as many calls as units and nothing refused, else
 * `2 × units + 1`, count, refused; 0 and a number for so many slots of nothing; 0, 0 and three 64-bit floats for amounts
 * that are not whole.
 */
import { type Bytes, createBlocks, NOWHERE, type Place } from './blocks.ts'

export interface Entry {
  slot: number
  units: number
  /** Of calls, or of checks that were let pass. */
  count: number
  /** Calls, or units of checks. */
  refused: number
}

/** Entries side by side, the first `length` of each array. */
export interface Entries {
  length: number
  slots: Float64Array
  units: Float64Array
  count: Float64Array
  refused: Float64Array
}

export interface Packed {
  /** Adds entries, in the order of their slots, to what these slots hold. Answers where the series lies now. */
  add(at: Place, entries: readonly Entry[]): Place
  /** The same, without what the slots of `[from, to)` held before. */
  replace(at: Place, range: { from: number; to: number }, entries: readonly Entry[]): Place
  /** The slots that hold something, ascending; good until the next are read, of whichever series. */
  read(at: Place): Readonly<Entries>
  /** Gives back its bytes. */
  forget(at: Place): void
  /** Where much lies free between series, moves all that are held together, and writes where they are now. */
  gather(held: Iterable<{ at: Place }>): void
}

/** Amounts above this are kept as floats. */
const WHOLE_MAX = 2 ** 51
/** Of an entry with the gap before it. */
const ENTRY_BYTES_MAX = 40

export function createPacked(): Packed {
  const blocks = createBlocks()
  const bytesOf = (at: Place) => (at === NOWHERE ? NO_BYTES : blocks.read(at))
  const read = (at: Place): Entries => decode(bytesOf(at))
  const put = (at: Place, bytes: Uint8Array) => (at === NOWHERE && bytes.length === 0 ? at : blocks.put(at, bytes))
  const replace: Packed['replace'] = (at, { from, to }, entries) => {
    const held = read(at)
    const next = held.length === 0 ? 0 : (held.slots[held.length - 1] ?? 0) + 1
    const sums = merged(entries)
    // Mostly they are later than all there is, which need not be written again.
    const isLater = next <= Math.min(from, sums[0]?.slot ?? from)
    if (isLater) return put(at, encode(sums, next, bytesOf(at)))
    const kept = listOf(held).filter(({ slot }) => slot < from || slot >= to)
    return put(at, encode(merged(kept.concat(entries))))
  }
  return {
    read,
    replace,
    add: (at, entries) => replace(at, NO_SLOTS, entries),
    forget: blocks.forget,
    gather: blocks.gather,
  }
}

const listOf = ({ length, slots, units, count, refused }: Entries): Entry[] =>
  Array.from({ length }, (_, index) => ({
    ...{ slot: slots[index] ?? 0, units: units[index] ?? 0, count: count[index] ?? 0, refused: refused[index] ?? 0 },
  }))

/** Sums of those of the same slot, in the order of slots. */
function merged(entries: readonly Entry[]): Entry[] {
  const sums: Entry[] = []
  for (const entry of entries.toSorted((a, b) => a.slot - b.slot)) {
    const last = sums.at(-1)
    if (last?.slot !== entry.slot) {
      sums.push({ ...entry })
      continue
    }
    last.units += entry.units
    last.count += entry.count
    last.refused += entry.refused
  }
  return sums
}

const NO_SLOTS = { from: Number.POSITIVE_INFINITY, to: Number.POSITIVE_INFINITY }
const NO_BYTES: Bytes = { bytes: new Uint8Array(), from: 0, to: 0 }
const float = new DataView(new ArrayBuffer(24))
/** What is encoded, as far as it is written, or what is decoded, as far as it is read. */
let written = new Uint8Array(4_096)
let at = 0

/** Behind bytes of entries before the slot `first`; good until the next ones are encoded. */
function encode(entries: readonly Entry[], first = 0, { bytes, from, to } = NO_BYTES): Uint8Array {
  const bytesMax = to - from + entries.length * ENTRY_BYTES_MAX
  if (written.length < bytesMax) written = new Uint8Array(bytesMax)
  written.set(bytes.subarray(from, to))
  at = to - from
  let next = first
  for (const { slot, units, count, refused } of entries) {
    if (units === 0 && count === 0 && refused === 0) continue
    if (slot > next) {
      written[at++] = 0
      writeNumber(slot - next)
    }
    next = slot + 1
    if (!isWhole(units) || !isWhole(count) || !isWhole(refused)) {
      written[at++] = 0
      written[at++] = 0
      writeFloats(units, count, refused)
    } else if (count === units && refused === 0) writeNumber(2 * units)
    else {
      writeNumber(2 * units + 1)
      writeNumber(count)
      writeNumber(refused)
    }
  }
  return written.subarray(0, at)
}

let decoded = entriesOf(1_024)

function decode({ bytes, from, to }: Bytes): Entries {
  // An entry takes a byte at least.
  if (decoded.slots.length < to - from) decoded = entriesOf(to - from)
  const { slots, units, count, refused } = decoded
  let length = 0
  let slot = 0
  at = from
  while (at < to) {
    const token = readNumber(bytes)
    if (token === 0) {
      const gap = readNumber(bytes)
      slot += gap
      if (gap > 0) continue
      for (let index = 0; index < 24; index++) float.setUint8(index, bytes[at++] ?? 0)
      units[length] = float.getFloat64(0)
      count[length] = float.getFloat64(8)
      refused[length] = float.getFloat64(16)
    } else {
      const isPlain = token % 2 === 0
      const amount = isPlain ? token / 2 : (token - 1) / 2
      units[length] = amount
      count[length] = isPlain ? amount : readNumber(bytes)
      refused[length] = isPlain ? 0 : readNumber(bytes)
    }
    slots[length++] = slot++
  }
  decoded.length = length
  return decoded
}

function entriesOf(lengthMax: number): Entries {
  const amounts = () => new Float64Array(lengthMax)
  return { length: 0, slots: amounts(), units: amounts(), count: amounts(), refused: amounts() }
}

const isWhole = (amount: number): boolean => Number.isInteger(amount) && amount >= 0 && amount <= WHOLE_MAX

/** Seven bits a byte, the lowest first; all but the last have the highest bit set. */
function writeNumber(amount: number): void {
  let left = amount
  while (left >= 128) {
    written[at++] = (left % 128) | 128
    left = Math.floor(left / 128)
  }
  written[at++] = left
}

function readNumber(bytes: Uint8Array): number {
  let byte = bytes[at++] ?? 0
  if (byte < 128) return byte
  let amount = byte & 127
  for (let scale = 128; byte >= 128; scale *= 128) {
    byte = bytes[at++] ?? 0
    amount += (byte & 127) * scale
  }
  return amount
}

function writeFloats(...amounts: number[]): void {
  for (const amount of amounts) {
    float.setFloat64(0, amount)
    for (let index = 0; index < 8; index++) written[at++] = float.getUint8(index)
  }
}
