import { copyFile, mkdir, mkdtemp, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { open as openLmdb } from 'lmdb'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Claim, LimitStore } from '../../../analyzer/limit/limit-store.ts'
import { openLimitStore } from '../../../analyzer/limit/open.ts'
import { setBack } from '../../collector/log/set-back.ts'
import { claim, describeLimitStore, effect, request, spend } from '../../contract/limit-store.ts'
import { describeLimitStoreResets } from '../../contract/limit-store-resets.ts'
import { describeLimitStoreWindows } from '../../contract/limit-store-windows.ts'
import { takeOver } from './take-over.ts'

const log = pino({ level: 'silent' })
const options = { kind: 'embedded', flushMs: 5, bucketsMax: 1_000, requestsMax: 1_000 } as const
const makeDir = () => mkdtemp(join(tmpdir(), 'quotacast-'))

const prepare = async () => {
  const dir = await makeDir()
  return {
    open: (now: () => number) => openLimitStore(options, { dir, log, now }),
    remove: () => rm(dir, { recursive: true, force: true }),
  }
}
describeLimitStore('embedded limit store', prepare)
describeLimitStoreResets('embedded limit store, resets by hand', prepare)
describeLimitStoreWindows('embedded limit store, without a reset', prepare)

let dirs: string[]
let stores: LimitStore[]
const now = () => Date.UTC(2026, 10, 21, 12) + 1_000

beforeEach(() => {
  dirs = []
  stores = []
})
afterEach(async () => {
  for (const store of stores) await store.close()
  for (const dir of dirs) await rm(dir, { recursive: true, force: true })
})

const newDir = async () => {
  const dir = await makeDir()
  dirs.push(dir)
  return dir
}
const open = async (dir: string, changed: Partial<typeof options> = {}) => {
  const store = await openLimitStore({ ...options, ...changed }, { dir, log, now })
  stores.push(store)
  return store
}
const used = async (store: LimitStore, fields: Partial<Claim> = {}) => {
  const { standings } = await store.decide(request([claim({ ...fields, cost: 0 })], { isDryRun: true }))
  return standings[0]?.used
}
const apply = (store: LimitStore, effects: ReturnType<typeof effect>[]) =>
  store.applyRecords({
    effects,
    checksOnly: new Set(),
    held: new Set(),
    position: { logId: 'log', partition: 0, nextOffset: 1, appliedOffset: 0 },
  })
/**
 * Copies what nobody writes to meanwhile: a copy that a write tore is shorter than it says, and kills whoever maps it. LMDB
 * has its locks as long as this process closes no other handle of their file, so that one is not copied.
 */
const copyAtRest = async (dir: string, copy: string): Promise<void> => {
  const writtenNs = async () => (await stat(join(dir, 'data.mdb'), { bigint: true })).mtimeNs
  for (;;) {
    const before = await writtenNs()
    await sleep(50)
    await copyFile(join(dir, 'data.mdb'), join(copy, 'data.mdb'))
    if ((await writtenNs()) === before) return
  }
}
/** Until what is used is in the folder: a copy of it tells. */
const untilWritten = (dir: string, amount: number) => {
  const written = async () => {
    const copy = await newDir()
    await copyAtRest(dir, copy)
    return used(await open(copy))
  }
  return expect.poll(written).toBe(amount)
}

/** Until so many subjects are in the folder. */
const untilKept = (dir: string, subjects: number) => {
  const kept = async () => {
    const copy = await newDir()
    await copyAtRest(dir, copy)
    return (await open(copy)).bucketCount()
  }
  return expect.poll(kept).toBe(subjects)
}

test('counters of an older copy: what was charged after it spends its true cost in full, once', async () => {
  const [dir, copy] = [await newDir(), await newDir()]
  const store = await open(dir)
  const kept = (await store.decide(request([claim({ cost: 50 })]))).reference
  await untilWritten(dir, 50)
  await copyAtRest(dir, copy)
  const lost = (await store.decide(request([claim({ cost: 40 })]))).reference
  if (kept === null || lost === null) throw new Error('expected both to spend')
  const restored = await open(copy)
  expect(await used(restored)).toBe(50)
  await apply(restored, [effect(7, { reference: kept }), effect(9, { reference: lost })])
  expect(await used(restored)).toBe(16)
  await apply(restored, [effect(9, { reference: lost })])
  expect(await used(restored)).toBe(16)
})

test('a reset that an older copy does not know of is told again, and forgets what the copy has', async () => {
  const [dir, copy] = [await newDir(), await newDir()]
  const store = await open(dir)
  const before = (await store.decide(request([claim({ cost: 50 })]))).reference
  await untilWritten(dir, 50)
  await copyAtRest(dir, copy)
  const reset = { sinceMs: now() + 1 }
  const after = (await store.decide(request([claim({ ...reset, cost: 5 })]))).reference
  const restored = await open(copy)
  const later = { ...reset, startedAtMs: now() + 1 }
  await apply(restored, [effect(0, { reference: after, spends: [spend(6, later)] })])
  expect(await used(restored)).toBe(6)
  await apply(restored, [effect(0, { reference: before, spends: [spend(70, { ...later, startedAtMs: now() })] })])
  expect(await used(restored)).toBe(6)
})

test('counters that were lost altogether: earlier decisions spend their true cost', async () => {
  const before = await open(await newDir())
  const { reference } = await before.decide(request([claim({ cost: 50 })]))
  const after = await open(await newDir())
  await apply(after, [effect(7, { reference })])
  expect(await used(after)).toBe(7)
  if (reference !== null) expect(await after.settle(reference, [spend(7)])).toBe('already_settled')
})

test('a second process takes over, and the first one neither decides nor writes any more', async () => {
  const dir = join(await newDir(), 'limits')
  const first = await openLimitStore(options, { dir, log, now })
  const lasting = { endMs: now() + 10 * 365 * 86_400_000 }
  await first.decide(request([claim({ ...lasting, cost: 5 })]))
  await untilWritten(dir, 5)
  const stop = await takeOver(dir)
  try {
    await first.decide(request([claim({ ...lasting, cost: 70 })]))
    await expect.poll(() => first.unavailable()).toMatch(/taken over/)
    const refused = first.decide(request([claim(lasting)]))
    await expect(refused).rejects.toMatchObject({ code: 'LIMITS_TAKEN_OVER', retryable: false })
  } finally {
    await stop()
    await first.close()
  }
  expect(await used(await open(dir), lasting)).toBe(5)
})

test('what was written before another process has hidden it, by opening the folder, is not lost', async () => {
  const dir = await newDir()
  const store = await openLimitStore(options, { dir, log, now })
  for (let index = 1; index <= 3; index += 1) {
    await store.decide(request([claim({ subject: `subject ${index}` })]))
    await untilKept(dir, index)
    setBack(dir)
  }
  await store.decide(request([claim({ subject: 'last' })]))
  await untilKept(dir, 4)
  expect(store.unavailable()).toBeNull()
  await store.close()
})

test('a folder that this process has open is refused, by any of its names, until it is closed', async () => {
  const dir = await newDir()
  const alias = join(await newDir(), 'alias')
  await symlink(dir, alias)
  const first = await openLimitStore(options, { dir, log, now })
  for (const path of [dir, alias])
    await expect(open(path)).rejects.toMatchObject({ code: 'LIMITS_OPEN_TWICE', retryable: false })
  await first.close()
  await open(alias)
})

/** The format that the folder says its counters have, made into another: `undefined` is none. */
const rewriteFormat = async (dir: string, format: number | undefined) => {
  const root = openLmdb({ path: dir, maxDbs: 8 })
  const head = root.openDB<{ format?: number | undefined }, string>('head', {})
  const before = head.get('head')
  await head.put('head', { ...before, format })
  await root.close()
  return before?.format
}

test('counters of another version are refused and left alone, with what to do; no number is the first one', async () => {
  const dir = await newDir()
  const store = await openLimitStore(options, { dir, log, now })
  await store.decide(request([claim({ cost: 5 })]))
  await store.close()
  expect(await rewriteFormat(dir, 2)).toBe(1)
  await expect(open(dir)).rejects.toMatchObject({ code: 'LIMITS_FORMAT', retryable: false })
  await expect(open(dir)).rejects.toThrow(/version \(format 2, .* move the folder away/)
  expect(await rewriteFormat(dir, undefined)).toBe(2)
  expect(await used(await open(dir))).toBe(5)
})

test('a folder that could not be opened is open to another try', async () => {
  const dir = await newDir()
  await mkdir(join(dir, 'data.mdb'))
  await expect(open(dir)).rejects.toMatchObject({ code: 'LIMITS_UNAVAILABLE' })
  await rm(join(dir, 'data.mdb'), { recursive: true })
  await open(dir)
})

test('without room for another subject nothing is spent, and subjects that are there go on', async () => {
  const store = await open(await newDir())
  for (let index = 0; index < options.bucketsMax; index += 1) {
    await store.decide(request([claim({ subject: `subject ${index}` })]))
  }
  const both = request([claim({ subject: 'subject 0' }), claim({ subject: 'one more', series: 'other' })])
  await expect(store.decide(both)).rejects.toMatchObject({ code: 'LIMITS_FULL', lacks: 'buckets', claims: [1] })
  expect(await store.decide(request([claim({ subject: 'subject 0' })]))).toMatchObject({ standings: [{ used: 2 }] })
})

test('a request id that had to make room is counted as an unlinked one', async () => {
  const store = await open(await newDir(), { requestsMax: 2 } as never)
  for (const requestId of ['r1', 'r2', 'r3']) await store.decide(request([claim({ cost: 10 })], { requestId }))
  expect(await apply(store, [effect(10, { requestId: 'r1' }), effect(4, { requestId: 'r3' })])).toEqual({
    linked: 1,
    unlinked: 1,
    repeated: 0,
  })
  expect(await used(store)).toBe(24)
})

test('records of more subjects than there is room for are passed over', async () => {
  const store = await open(await newDir())
  const effects = Array.from({ length: options.bucketsMax + 10 }, (_, index) =>
    effect(3, { spends: [spend(3, { subject: `subject ${index}` })] }),
  )
  await apply(store, effects)
  expect(store.bucketCount()).toBe(options.bucketsMax)
  await apply(store, [effect(3, { spends: [spend(3, { subject: 'subject 0' })] })])
  expect(await store.decide(request([claim({ subject: 'subject 0' })]))).toMatchObject({ standings: [{ used: 6 }] })
})

test('after a restart the oldest request ids still make room first', async () => {
  const dir = await newDir()
  const few = { requestsMax: 12 } as never
  const first = await open(dir, few)
  for (let turn = 1; turn <= 12; turn += 1) {
    await first.decide(request([claim()], { requestId: `r${turn}` }))
  }
  await first.close()
  const second = await open(dir, few)
  for (const requestId of ['r13', 'r14', 'r15']) await second.decide(request([claim()], { requestId }))
  const counts = await apply(second, [effect(1, { requestId: 'r10' }), effect(1, { requestId: 'r12' })])
  expect(counts).toMatchObject({ linked: 2, unlinked: 0 })
})
