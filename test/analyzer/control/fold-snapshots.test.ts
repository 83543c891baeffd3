/** Whatever is trimmed, and whoever restarts or stalls: what holds is what all changes since the first one come to. */
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { type Fold, type HeldChange, startFold } from '../../../analyzer/control/fold.ts'
import type { ControlChange, ControlKind } from '../../../collector/log/control-change.ts'
import { findSnapshot, toSnapshotPieces } from '../../../collector/log/control-snapshot.ts'
import { silent } from '../limit/call-records.ts'
import { type MemoryLog, openMemoryLog } from './control-log.ts'

const KINDS: readonly ControlKind[] = ['quota', 'token', 'pace', 'upstream']
const KEYS = ['a', 'b']
const READERS = 3
/** So that a snapshot of few entries has several pieces. */
const PIECE_CHARACTERS = 150

const folds: Fold[] = []
afterEach(async () => {
  await Promise.all(folds.splice(0).map(fold => fold.close()))
})

/** A role: it knows what it was told of by `onChange`, as the policy does. */
async function startReader(log: MemoryLog) {
  const told = new Map<string, unknown>()
  const onChange = ({ kind, key, value }: HeldChange) => {
    told.delete(`${kind} ${key}`)
    if (value !== null) told.set(`${kind} ${key}`, value)
  }
  const fold = await startFold({ log, logger: silent, onChange })
  folds.push(fold)
  return { fold, told }
}
type Reader = Awaited<ReturnType<typeof startReader>>

/** What is told in which order matters for quotas; one that was forgotten and came back alike is not told again. */
const toldOf = (told: Reader['told'], kind: ControlKind) => {
  const ofKind = [...told].filter(([name]) => name.startsWith(`${kind} `))
  return kind === 'quota' ? ofKind : new Map(ofKind)
}

const stateOf = ({ fold, told }: Reader) => ({
  failure: fold.unavailable(),
  entries: KINDS.flatMap(kind => fold.entries().filter(entry => entry.kind === kind)),
  told: KINDS.map(kind => toldOf(told, kind)),
})

/** What all that was ever appended comes to. */
async function wholeState(log: MemoryLog) {
  const whole = openMemoryLog()
  for (const { offset, value } of log.entries()) {
    while (whole.endOffset() < offset) whole.skip()
    // Without snapshots, so that it is the changes that are folded.
    if (value.startsWith('{"snapshotId"')) whole.skip()
    else whole.put(value)
  }
  return stateOf(await startReader(whole))
}

let changes = 0
function changeOf(fold: Fold, wish: { kind: ControlKind; key: string; value: unknown; isStale: boolean }) {
  const held = fold.current(wish.kind, wish.key).version
  const expectedVersion = wish.isStale ? Math.max(0, held - 1) : held
  const { kind, key, value } = wish
  const version = expectedVersion + 1
  const change: ControlChange = {
    ...{ kind, key, value, expectedVersion, version, changeId: `c${changes++}`, atMs: 0, by: 'test', reason: null },
  }
  return change
}

const reader = fc.integer({ min: 0, max: READERS - 1 })
const act = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      act: fc.constant('change' as const),
      reader,
      kind: fc.constantFrom(...KINDS),
      key: fc.constantFrom(...KEYS),
      value: fc.constantFrom(null, null, 1, 2),
      isStale: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('begin snapshot' as const), reader }) },
  { weight: 12, arbitrary: fc.record({ act: fc.constant('write piece' as const), which: fc.nat(7) }) },
  {
    weight: 4,
    arbitrary: fc.record({ act: fc.constant('trim' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('refresh' as const), reader }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('restart' as const), reader }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('hole' as const) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('noise' as const) }) },
)

test('any interleaving of changes, snapshots, trims, stalls and restarts comes to what the whole log comes to', async () => {
  let trims = 0
  let taken = 0
  const property = fc.asyncProperty(fc.array(act, { minLength: 100, maxLength: 300 }), async acts => {
    const log = openMemoryLog()
    const readers = await Promise.all(Array.from({ length: READERS }, () => startReader(log)))
    const readerAt = (index: number) => readers[index] as Reader
    /** Begun by two analyzers or one, their pieces not written yet. */
    const pending: string[] = []
    const outcomes: { change: ControlChange; outcome: Promise<'won' | 'lost'>; fold: Fold }[] = []
    for (const step of acts) {
      switch (step.act) {
        case 'change': {
          const { fold } = readerAt(step.reader)
          const change = changeOf(fold, step)
          const { outcome } = fold.waitFor(change.changeId)
          log.put(JSON.stringify(change))
          outcomes.push({ change, outcome, fold })
          break
        }
        case 'begin snapshot': {
          const { fold } = readerAt(step.reader)
          await fold.refresh()
          const asOfOffset = fold.position().offset
          pending.push(...(await toSnapshotPieces({ asOfOffset, held: fold.entries() }, PIECE_CHARACTERS)))
          break
        }
        case 'write piece': {
          const [piece] = pending.splice(step.which % Math.max(1, pending.length), 1)
          if (piece !== undefined) log.put(piece)
          break
        }
        case 'trim': {
          const stretch = { logId: 'log', beginOffset: log.beginOffset(), endOffset: log.endOffset() }
          const before = log.beginOffset()
          const asOfOffset = (await findSnapshot(log, stretch))?.asOfOffset ?? 0
          log.trim(Math.floor(asOfOffset * (0.5 + step.share / 2)))
          if (log.beginOffset() > before) trims++
          break
        }
        case 'refresh':
          await readerAt(step.reader).fold.refresh()
          break
        case 'restart': {
          await readerAt(step.reader).fold.close()
          readers[step.reader] = await startReader(log)
          if (log.beginOffset() > 0) taken++
          break
        }
        case 'hole':
          log.skip()
          break
        case 'noise':
          log.put('{"no":"change"}')
      }
    }
    for (const { fold } of readers) await fold.refresh()
    readers.push(await startReader(log))
    const whole = await wholeState(log)
    expect(whole.failure).toBeNull()
    for (const each of readers) expect(stateOf(each)).toEqual(whole)
    await expectOutcomes(log, outcomes)
    for (const fold of folds.splice(0)) await fold.close()
  })
  await fc.assert(property, { numRuns: 300 })
  expect(trims).toBeGreaterThan(300)
  expect(taken).toBeGreaterThan(300)
}, 120_000)

/** Who waits is told what came of the change, or, where it was gone before it was read, nothing. */
async function expectOutcomes(
  log: MemoryLog,
  outcomes: readonly { change: ControlChange; outcome: Promise<'won' | 'lost'> }[],
): Promise<void> {
  const won = new Set<string>()
  const held = new Map<string, number>()
  for (const { value } of log.entries()) {
    const { changeId, kind, key, expectedVersion, version, value: next } = JSON.parse(value)
    if (changeId === undefined || (held.get(`${kind} ${key}`) ?? 0) !== expectedVersion) continue
    won.add(changeId)
    held.set(`${kind} ${key}`, next === null && (kind === 'pace' || kind === 'upstream') ? 0 : version)
  }
  for (const { change, outcome } of outcomes) {
    const told = await Promise.race([outcome, Promise.resolve('nothing')])
    if (told !== 'nothing') expect(told).toBe(won.has(change.changeId) ? 'won' : 'lost')
  }
}
