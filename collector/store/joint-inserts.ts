/**
 * Batches of several partitions in one insert. Most of what a small insert costs, in the store and in later merges, is
 * the part that it makes, and where partitions are read side by side each of them has few rows at a time. So whoever has
 * rows waits for those who are just preparing theirs, which is a matter of milliseconds, and for nobody else.
 */
import assert from 'node:assert/strict'
import { type InsertPiece, type InsertTarget, insertRows } from './insert.ts'
import type { Store } from './open.ts'

/** Rows that several partitions insert at once; a single batch may have more. */
const JOINT_ROWS_MAX = 50_000

export interface JointInserts {
  /** Inserts wait until `work`, which prepares rows for one, has ended. */
  prepare<T>(work: () => Promise<T>): Promise<T>
  /** Inserts the rows, with those that others have ready for the same target. Resolves and throws as `insertRows` does. */
  insert(target: InsertTarget, piece: CountedPiece): Promise<void>
}

interface CountedPiece extends InsertPiece {
  rows: number
}

interface Waiting {
  target: InsertTarget
  piece: CountedPiece
  resolve: (inserted: Promise<void>) => void
}

export const createJointInserts = (store: Store): JointInserts => {
  let preparing = 0
  let waiting: Waiting[] = []
  const insertWaiting = (): void => {
    if (preparing > 0) return
    const ready = waiting
    waiting = []
    for (const group of toGroups(ready)) {
      const [first] = group
      assert(first, 'a group is never empty')
      const inserted = insertRows(
        store,
        first.target,
        group.map(({ piece }) => piece),
      )
      for (const { resolve } of group) resolve(inserted)
    }
  }
  return {
    async prepare(work) {
      preparing += 1
      try {
        return await work()
      } finally {
        preparing -= 1
        // Not before whoever was waited for has said what to insert.
        setImmediate(insertWaiting)
      }
    },
    insert: (target, piece) =>
      new Promise(resolve => {
        waiting.push({ target, piece, resolve })
        setImmediate(insertWaiting)
      }),
  }
}

const toGroups = (ready: readonly Waiting[]): Waiting[][] => {
  const groups: { waiting: Waiting[]; rows: number }[] = []
  for (const one of ready) {
    const { target, piece } = one
    const group = groups.find(
      ({ waiting: [first], rows }) => first?.target === target && rows + piece.rows <= JOINT_ROWS_MAX,
    )
    if (group === undefined) groups.push({ waiting: [one], rows: piece.rows })
    else {
      group.waiting.push(one)
      group.rows += piece.rows
    }
  }
  return groups.map(group => group.waiting)
}
