/** Rows by key, for tables of numbers: as objects of their own, hundreds of thousands would take several times as much. */

export interface NumberedRows {
  readonly size: number
  keys(): IterableIterator<string>
  /** The row of a key, if it has one. */
  of(key: string): number | undefined
  /** The row of a key, from now on. Rows count from 0, without gaps but for those that are free. */
  take(key: string): number
  /** Lets another key have its row. */
  delete(key: string): void
}

export function createNumberedRows(): NumberedRows {
  const rows = new Map<string, number>()
  const free: number[] = []
  return {
    get size() {
      return rows.size
    },
    keys: () => rows.keys(),
    of: key => rows.get(key),
    take(key) {
      const row = rows.get(key) ?? free.pop() ?? rows.size
      rows.set(key, row)
      return row
    },
    delete(key) {
      const row = rows.get(key)
      if (row === undefined) return
      rows.delete(key)
      free.push(row)
    },
  }
}
