/** What was learnt of the subjects of a series, in few buffers. */
import type { ForecastState } from '../forecast/refit.ts'
import { createNumberedRows } from './numbered-rows.ts'

export interface Learnt {
  keys(): IterableIterator<string>
  get(key: string): ForecastState | null
  set(key: string, state: ForecastState): void
  delete(key: string): void
}

const ROWS = 256
/** Of a row: when it was learnt, how far it reaches, its window, its unit, and until when it is good. */
const NUMBERS = 5

interface Chunk {
  values: Float16Array
  numbers: Float64Array
}

export function createLearnt(): Learnt {
  const chunks: Chunk[] = []
  const rows = createNumberedRows()
  let width = 0
  const rowOf = (key: string): number => {
    const row = rows.take(key)
    if (row >= chunks.length * ROWS) {
      chunks.push({ values: new Float16Array(ROWS * width), numbers: new Float64Array(ROWS * NUMBERS) })
    }
    return row
  }
  const partsOf = (row: number) => {
    const chunk = chunks[Math.floor(row / ROWS)]
    const at = row % ROWS
    return {
      values: chunk?.values.subarray(at * width, (at + 1) * width) ?? new Float16Array(),
      numbers: chunk?.numbers.subarray(at * NUMBERS, (at + 1) * NUMBERS) ?? new Float64Array(),
    }
  }
  return {
    keys: () => rows.keys(),
    get(key) {
      const row = rows.of(key)
      if (row === undefined) return null
      const { values, numbers } = partsOf(row)
      const [atMs = 0, untilMs = 0, windowMs = 0, unit = 0, goodUntilMs = 0] = numbers
      return { outlook: { atMs, untilMs, windowMs, unit, values }, untilMs: goodUntilMs }
    },
    set(key, { outlook, untilMs: goodUntilMs }) {
      const { atMs, untilMs, windowMs, unit } = outlook
      // All outlooks have as many values.
      width = outlook.values.length
      const { values, numbers } = partsOf(rowOf(key))
      values.set(outlook.values)
      numbers.set([atMs, untilMs, windowMs, unit, goodUntilMs])
    },
    delete: key => rows.delete(key),
  }
}
