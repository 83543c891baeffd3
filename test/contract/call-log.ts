/**
 * The promises of `collector/log/call-log.ts`. Each log's test calls `testCallLog` with how to open it; the processes
 * are real and are really killed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type {
  CallLog,
  EmbeddedLogOptions,
  LogBatch,
  LogLoss,
  LogOptions,
  LogPartition,
  LogReader,
} from '../../collector/log/call-log.ts'
import { openCallLog } from '../../collector/log/open.ts'
import type { LogProcess } from './call-log-process.ts'

type LogChanges = Partial<Pick<EmbeddedLogOptions, 'retentionSeconds' | 'sizeBytesMax'>>

export interface LogUnderTest {
  /** Changes may be ignored where the log has no such option. */
  options(changes?: LogChanges): LogOptions
  /** As a process opens it that is killed: it is soon missed. */
  mortalOptions(): LogOptions
  dir: string
  /** Removes all of the log's content, as an operator would. */
  wipe(): Promise<void>
  /** Keeps a copy of the log (without the readers' positions); `restore` puts it back while nobody has it open. */
  backup(): Promise<void>
  restore(): Promise<void>
  /** Releases what the log under test took. */
  remove(): Promise<void>
}

export interface LogCapabilities {
  /** The log itself refuses what exceeds `sizeBytesMax`. */
  isBounded: boolean
  /** Its end is never behind for a moment, as it is after an election: one look tells that it was cut short. */
  comparesAtOnce: boolean
}

/** How soon another process must see what was appended, milliseconds; generous, for busy machines. */
const VISIBLE_MS_MAX = 60_000
const KILLS = 12
const waiting = { timeout: VISIBLE_MS_MAX, interval: 10 }

export function testCallLog(name: string, create: () => Promise<LogUnderTest>, capabilities: LogCapabilities): void {
  let subject: LogUnderTest
  let losses: LogLoss[]
  let nowMs: number
  let opened: CallLog[]
  let children: ChildProcess[]

  const openLog = async (changes: LogChanges = {}): Promise<CallLog> => {
    const deps = { dir: subject.dir, log: pino({ level: 'silent' }), onLoss: (loss: LogLoss) => losses.push(loss) }
    const log = await openCallLog(subject.options(changes), { ...deps, now: () => nowMs })
    opened.push(log)
    return log
  }
  const closeAll = async (): Promise<void> => {
    await Promise.all(opened.map(log => log.close()))
    opened = []
  }
  const start = (task: Omit<LogProcess, 'options' | 'dir'>) => {
    const script = new URL('./call-log-process.ts', import.meta.url).pathname
    const argument = JSON.stringify({
      ...task,
      options: subject.mortalOptions(),
      dir: subject.dir,
    } satisfies LogProcess)
    const child = spawn(process.execPath, [script, argument], { stdio: ['ignore', 'pipe', 'inherit'] })
    children.push(child)
    const lines: string[] = []
    createInterface({ input: child.stdout }).on('line', line => lines.push(line))
    return { child, lines, closed: once(child, 'close') }
  }

  describe(`${name}: call log`, () => {
    beforeEach(async () => {
      subject = await create()
      losses = []
      opened = []
      children = []
      nowMs = Date.now()
    })
    afterEach(async () => {
      for (const child of children) child.kill('SIGKILL')
      await closeAll()
      await subject.remove()
    })

    test('delivers all entries in order, offsets ascending', async () => {
      const log = await openLog()
      await log.append('calls', numbered(0, 700))
      await log.append('calls', numbered(700, 701))
      const { reader, batches } = collect()
      log.subscribe(['calls'], 'writer', reader)
      await vi.waitFor(() => expect(valuesOf(batches)).toEqual(numbers(0, 701)), waiting)
      const offsets = batches.flatMap(batch => batch.entries.map(entry => entry.offset))
      expect(offsets).toEqual([...new Set(offsets)].sort((a, b) => a - b))
      for (const batch of batches) expect(batch.nextOffset).toBeGreaterThan(batch.entries.at(-1)?.offset ?? 0)
      expect(losses).toEqual([])
    })

    test('keeps any JSON text as it was', async () => {
      const log = await openLog()
      const values = ['{"a":"\\n"}', '[ 1,\n 2 ]', '"ü€😀\\ud800"', '""', `"${'x'.repeat(400_000)}"`, 'null']
      await log.append('rejections', keyed(values))
      const [partition] = await log.partitions('rejections')
      const batch = await log.read('rejections', partition?.partition ?? 0, partition?.beginOffset ?? 0, 100)
      expect(batch.entries.map(entry => entry.value)).toEqual(values)
    })

    test('keeps the order of concurrent appends, and topics apart', async () => {
      const log = await openLog()
      await Promise.all([
        ...Array.from({ length: 60 }, (_, index) => log.append('calls', numbered(index * 7, index * 7 + 7))),
        log.append('control', numbered(5, 6)),
        log.append('calls', []),
      ])
      const { reader, batches } = collect()
      log.subscribe(['calls', 'control'], 'writer', reader)
      await vi.waitFor(() => expect(valuesOf(batches, 'calls')).toEqual(numbers(0, 420)), waiting)
      await vi.waitFor(() => expect(valuesOf(batches, 'control')).toEqual([5]), waiting)
    })

    test('bounds what it delivers at once', async () => {
      const log = await openLog()
      for (let from = 0; from < 50_000; from += 5_000) await log.append('calls', numbered(from, from + 5_000))
      const { reader, batches } = collect()
      log.subscribe(['calls'], 'writer', reader)
      await vi.waitFor(() => expect(valuesOf(batches)).toHaveLength(50_000), waiting)
      expect(Math.max(...batches.map(batch => batch.entries.length))).toBeLessThanOrEqual(20_000)
      const [partition] = await log.partitions('calls')
      const paged = await log.read('calls', 0, partition?.beginOffset ?? 0, 3)
      expect(valuesOf([paged])).toEqual([0, 1, 2])
      expect(valuesOf([await log.read('calls', 0, paged.nextOffset, 3)])).toEqual([3, 4, 5])
      const rest = await log.read('calls', 0, partition?.endOffset ?? 0, 3)
      expect(rest).toMatchObject({ entries: [], nextOffset: partition?.endOffset })
    })

    test('keeps a position for each name, and goes on behind the last handled batch', async () => {
      const log = await openLog()
      await log.append('calls', numbered(0, 10))
      const first = collect()
      log.subscribe(['calls'], 'writer', first.reader)
      await vi.waitFor(() => expect(valuesOf(first.batches)).toEqual(numbers(0, 10)), waiting)
      await closeAll()

      const again = await openLog()
      await again.append('calls', numbered(10, 20))
      const second = collect()
      const other = collect()
      again.subscribe(['calls'], 'writer', second.reader)
      again.subscribe(['calls'], 'settler', other.reader)
      await vi.waitFor(() => expect(valuesOf(second.batches)).toEqual(numbers(10, 20)), waiting)
      await vi.waitFor(() => expect(valuesOf(other.batches)).toEqual(numbers(0, 20)), waiting)
      expect(second.assigned[0]).toMatchObject({ topic: 'calls', committedOffset: first.batches.at(-1)?.nextOffset })
      expect(other.assigned[0]).toMatchObject({ committedOffset: null })
      expect(second.assigned[0]?.logId).toBe(first.assigned[0]?.logId)
    })

    test('begins where the reader says when it is assigned', async () => {
      const log = await openLog()
      await log.append('calls', numbered(0, 10))
      const { reader, batches } = collect({ assigned: async ({ beginOffset }) => beginOffset + 4 })
      log.subscribe(['calls'], 'writer', reader)
      await vi.waitFor(() => expect(valuesOf(batches)).toEqual(numbers(4, 10)), waiting)
    })

    test('delivers a rejected batch again, and never two at once', async () => {
      const log = await openLog()
      let underWay = 0
      let calls = 0
      const { reader, batches, assigned } = collect({
        async handle(_batch, heartbeat) {
          expect(++underWay).toBe(1)
          await heartbeat()
          await sleep(5)
          underWay--
          if (calls++ % 2 === 0) throw new Error('not now')
        },
      })
      log.subscribe(['calls'], 'writer', reader)
      for (let from = 0; from < 30; from += 10) {
        await log.append('calls', numbered(from, from + 10))
        await vi.waitFor(() => expect(valuesOf(batches)).toEqual(numbers(0, from + 10)), waiting)
      }
      expect(calls).toBeGreaterThanOrEqual(4)
      expect(assigned).toHaveLength(1)
    })

    test('assigns again when the reader was not ready, and revokes at the end', async () => {
      const log = await openLog()
      const order: string[] = []
      const { reader } = collect({
        async assigned() {
          order.push('assigned')
          if (order.length === 1) throw new Error('not ready')
          return null
        },
        handle: async () => void order.push('handle'),
        revoked: async () => void order.push('revoked'),
      })
      await log.append('calls', numbered(0, 1))
      const subscription = log.subscribe(['calls'], 'writer', reader)
      await vi.waitFor(() => expect(order).toContain('handle'), waiting)
      await subscription.close()
      expect(order).toEqual(['assigned', 'assigned', 'handle', 'revoked'])
    })

    test('closing waits for the batch under way and commits it', async () => {
      const log = await openLog()
      const { promise: isHandling, resolve } = Promise.withResolvers<void>()
      const slow = collect({
        async handle() {
          resolve()
          await sleep(100)
        },
      })
      await log.append('calls', numbered(0, 10))
      const subscription = log.subscribe(['calls'], 'writer', slow.reader)
      await isHandling
      await subscription.close()
      expect(valuesOf(slow.batches)).toEqual(numbers(0, 10))
      await log.append('calls', numbered(10, 11))
      const next = collect()
      log.subscribe(['calls'], 'writer', next.reader)
      await vi.waitFor(() => expect(valuesOf(next.batches)).toEqual([10]), waiting)
    })

    test('tells the lag in entries and in time', async () => {
      const log = await openLog()
      const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>()
      const { reader } = collect({ handle: () => mayGoOn })
      await log.append('calls', numbered(0, 10))
      nowMs += 60_000
      await log.append('calls', numbered(10, 15))
      const lag = () => log.lag(['calls'], 'writer')
      expect(await lag()).toMatchObject([{ topic: 'calls', entries: 15, ageMs: 60_000 }])
      log.subscribe(['calls'], 'writer', reader)
      expect(await lag()).toMatchObject([{ topic: 'calls', entries: 15, ageMs: 60_000 }])
      goOn()
      await vi.waitFor(async () => {
        expect(await lag()).toMatchObject([{ topic: 'calls', entries: 0, ageMs: 0 }])
      }, waiting)
    })

    test('trims only what is both old and handled, of the topic that it is told', async () => {
      const log = await openLog({ retentionSeconds: 3_600 })
      for (const topic of ['calls', 'control'] as const) {
        await log.append(topic, numbered(0, 10))
        await log.append(topic, numbered(10, 20))
      }
      nowMs += 2 * 3_600_000
      await log.append('calls', numbered(20, 30))
      const [calls] = await log.partitions('calls')
      const [control] = await log.partitions('control')
      if (!calls || !control) throw new Error('both have a partition')
      const at = (offset: number) => calls.beginOffset + offset

      await log.trim({ ...calls, logId: 'another' }, at(30))
      await log.trim(calls, at(15))
      const [trimmed] = await log.partitions('calls')
      expect(trimmed).toMatchObject({ endOffset: at(30) })
      // To the block, or to the entry.
      expect(trimmed?.beginOffset).toBeOneOf([at(10), at(15)])
      await log.trim(calls, at(30))
      expect((await log.partitions('calls'))[0]).toMatchObject({ beginOffset: at(20), endOffset: at(30) })
      expect(await log.partitions('control')).toEqual([control])
      await log.trim(control, control.beginOffset + 10)
      expect(await log.partitions('control')).toEqual([{ ...control, beginOffset: control.beginOffset + 10 }])
      nowMs += 2 * 3_600_000
      await log.trim(calls, at(30))
      expect((await log.partitions('calls'))[0]).toMatchObject({ beginOffset: at(30), endOffset: at(30) })
      await log.append('calls', numbered(30, 31))
      expect(valuesOf([await log.read('calls', 0, at(30), 10)])).toEqual([30])
      expect(valuesOf([await log.read('calls', 0, at(0), 10)])).toEqual([30])
      expect(losses).toEqual([])
    })

    test('a reader that comes too late is told exactly what it lost', async () => {
      const log = await openLog({ retentionSeconds: 60 })
      const early = collect()
      const subscription = log.subscribe(['calls'], 'settler', early.reader)
      await log.append('calls', numbered(0, 10))
      await vi.waitFor(() => expect(valuesOf(early.batches)).toEqual(numbers(0, 10)), waiting)
      await subscription.close()
      await log.append('calls', numbered(10, 20))
      nowMs += 3_600_000
      await log.append('calls', numbered(20, 30))
      const [partition] = await log.partitions('calls')
      if (!partition) throw new Error('calls has a partition')
      await log.trim(partition, partition.endOffset)
      const late = collect()
      log.subscribe(['calls'], 'settler', late.reader)
      await vi.waitFor(() => expect(valuesOf(late.batches)).toEqual(numbers(20, 30)), waiting)
      const { topic, logId, partition: number, beginOffset } = partition
      expect(losses).toEqual([
        {
          topic,
          logId,
          partition: number,
          reader: 'settler',
          reason: 'trimmed',
          fromOffset: beginOffset + 10,
          toOffset: beginOffset + 20,
        },
      ])
    })

    if (capabilities.isBounded)
      test('refuses what does not fit, whole, until it was trimmed', async () => {
        const log = await openLog({ retentionSeconds: 60, sizeBytesMax: 1_000_000 })
        const big = () => keyed(Array.from({ length: 100 }, () => JSON.stringify(incompressible(1_500))))
        expect(log.unavailable()).toBeNull()
        let accepted = 0
        const refused = await (async () => {
          for (;;) {
            await log.append('calls', big())
            accepted += 100
          }
        })().catch((error: unknown) => error)
        expect(refused).toMatchObject({ code: 'LOG_FULL', retryable: true })
        expect(accepted).toBeGreaterThan(0)
        expect(log.unavailable()).toMatch(/full/)
        const [partition] = await log.partitions('calls')
        if (!partition) throw new Error('calls has a partition')
        expect(partition.endOffset - partition.beginOffset).toBe(accepted)
        expect((await log.read('calls', 0, partition.beginOffset, 20_000)).entries).toHaveLength(accepted)
        await log.append('control', numbered(0, 1))

        nowMs += 3_600_000
        await log.trim(partition, partition.beginOffset + accepted)
        expect(log.unavailable()).toBeNull()
        await log.append('calls', big())
        expect((await log.partitions('calls'))[0]).toMatchObject({ endOffset: partition.endOffset + 100 })
      })

    if (capabilities.isBounded)
      test('gives up handled entries before their time rather than refuse new ones', async () => {
        const log = await openLog({ retentionSeconds: 3_600, sizeBytesMax: 1_000_000 })
        const big = () => keyed(Array.from({ length: 20 }, () => JSON.stringify(incompressible(1_500))))
        for (let round = 0; round < 100; round++) {
          await log.append('calls', big())
          const [partition] = await log.partitions('calls')
          if (!partition) throw new Error('calls has a partition')
          await log.trim(partition, partition.endOffset)
        }
        const [partition] = await log.partitions('calls')
        expect(log.unavailable('calls')).toBeNull()
        // What there is room for is kept.
        expect((partition?.endOffset ?? 0) - (partition?.beginOffset ?? 0)).toBeGreaterThan(100)
      })

    test('a log that is shorter than what its reader has handled begins anew, loudly', async () => {
      const log = await openLog()
      await log.append('calls', numbered(0, 10))
      const [before] = await log.partitions('calls')
      if (!before) throw new Error('calls has a partition')
      const { batches, reader } = collect()
      let lives = 0
      log.subscribe(['calls'], 'writer', {
        ...reader,
        assigned: async ({ endOffset }) => {
          if (++lives > 1) return null
          // What is appended from now on takes the offsets of what is gone.
          if (capabilities.comparesAtOnce) await log.append('calls', numbered(10, 30))
          return endOffset + 5
        },
      })
      await vi.waitFor(() => expect(valuesOf(batches).slice(0, 10)).toEqual(numbers(0, 10)), waiting)
      if (!capabilities.comparesAtOnce) await log.append('calls', numbered(10, 30))
      await vi.waitFor(() => expect(valuesOf(batches)).toEqual(numbers(0, 30)), waiting)
      expect(losses).toMatchObject([{ reason: 'beyond_end', logId: before.logId }])
      expect((await log.partitions('calls'))[0]?.logId).not.toBe(before.logId)
    })

    test('a log that was wiped under its users begins anew, loudly', async () => {
      const log = await openLog()
      const { reader, batches, assigned } = collect()
      log.subscribe(['calls'], 'writer', reader)
      await log.append('calls', numbered(0, 10))
      await vi.waitFor(() => expect(valuesOf(batches)).toEqual(numbers(0, 10)), waiting)
      await subject.wipe()
      await vi.waitFor(() => log.append('calls', numbered(10, 15)), waiting)
      await vi.waitFor(() => expect(valuesOf(batches)).toEqual(numbers(0, 15)), waiting)
      // Made anew while files are still being removed, a log is wiped again: it has had lives of which nobody saw anything.
      expect(assigned.at(-1)?.logId).not.toBe(assigned[0]?.logId)
      expect(losses).toMatchObject([{ reader: 'writer', reason: 'other_log', logId: assigned[0]?.logId }])
    })

    // Where it is a server's, that is stopped and started twice.
    test('a log that was restored gets a new id and is read anew, loudly', { timeout: 240_000 }, async () => {
      const before = await openLog()
      await before.append('calls', numbered(0, 5))
      await closeAll()
      await subject.backup()
      const log = await openLog()
      const first = collect()
      log.subscribe(['calls'], 'writer', first.reader)
      await log.append('calls', numbered(5, 10))
      await vi.waitFor(() => expect(valuesOf(first.batches)).toEqual(numbers(0, 10)), waiting)
      await closeAll()
      await subject.restore()

      const restored = await openLog()
      const second = collect()
      restored.subscribe(['calls'], 'writer', second.reader)
      await vi.waitFor(() => expect(valuesOf(second.batches)).toEqual(numbers(0, 5)), waiting)
      expect(losses[0]).toMatchObject({ reader: 'writer', reason: 'beyond_end', fromOffset: 5, toOffset: 10 })
      expect(second.assigned.at(-1)?.logId).not.toBe(first.assigned[0]?.logId)
    })

    test('a reader that finds other entries than it has handled reads all of them, in another life of the log', async () => {
      const log = await openLog()
      await log.append('calls', numbered(0, 10))
      const asked: string[] = []
      const { reader, batches } = collect({
        async assigned({ logId }) {
          asked.push(logId)
          return new Set(asked).size === 1 ? 'restored' : null
        },
      })
      log.subscribe(['calls'], 'writer', reader)
      await vi.waitFor(() => expect(valuesOf(batches)).toEqual(numbers(0, 10)), waiting)
      expect(losses).toMatchObject([{ reason: 'beyond_end', logId: asked[0], fromOffset: 10, toOffset: 10 }])
      expect(batches[0]?.logId).not.toBe(asked[0])
    })

    test('of two with one name the last has it; the other stands by', async () => {
      const log = await openLog()
      const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>()
      const revoked = vi.fn(async () => undefined)
      const stalled = collect({ handle: () => mayGoOn, revoked })
      await log.append('calls', numbered(0, 10))
      log.subscribe(['calls'], 'writer', stalled.reader)
      await vi.waitFor(() => expect(stalled.seen).toHaveLength(1), waiting)

      const successor = collect()
      const succession = log.subscribe(['calls'], 'writer', successor.reader)
      await vi.waitFor(() => expect(valuesOf(successor.batches)).toEqual(numbers(0, 10)), waiting)
      await log.append('calls', numbered(10, 20))
      await vi.waitFor(() => expect(valuesOf(successor.batches)).toEqual(numbers(0, 20)), waiting)
      goOn()
      await vi.waitFor(() => expect(revoked).toHaveBeenCalledTimes(1), waiting)
      await succession.close()
      await log.append('calls', numbered(20, 21))
      await vi.waitFor(() => expect(valuesOf(stalled.batches).slice(10)).toEqual([20]), waiting)
    })

    test('settles what was appended before it is closed, refuses what comes after', async () => {
      const log = await openLog()
      const appended = Promise.all([log.append('calls', numbered(0, 500)), log.append('calls', numbered(500, 1_000))])
      await log.close()
      await appended
      await expect(log.append('calls', numbered(0, 1))).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' })
      const again = await openLog()
      expect(valuesOf([await again.read('calls', 0, 0, 2_000)])).toEqual(numbers(0, 1_000))
    })

    test('holds whole batches or nothing after kill -9, and all that was acknowledged', async () => {
      const acknowledged = new Set<string>()
      for (let kill = 0; kill < KILLS; kill++) {
        const { child, lines, closed } = start({ act: 'append', name: `w${kill}`, batchEntries: 50 + kill * 40 })
        await vi.waitFor(() => expect(lines.length).toBeGreaterThan(0), waiting)
        await sleep(Math.random() * 60)
        child.kill('SIGKILL')
        await closed
        for (const sequence of lines) acknowledged.add(`w${kill} ${sequence}`)
      }
      const log = await openLog()
      const whole = await wholeBatches(log)
      for (const batch of acknowledged) expect(whole).toContain(batch)
      await log.append('calls', numbered(0, 1))
    }, 120_000)

    test('several processes append at once, each in its own order', async () => {
      const processes = ['one', 'two'].map(writer =>
        start({ act: 'append', name: writer, batchEntries: 100, batches: 60 }),
      )
      const log = await openLog()
      for (let from = 0; from < 200; from += 10) await log.append('control', numbered(from, from + 10))
      await Promise.all(processes.map(({ closed }) => closed))
      const whole = await wholeBatches(log)
      expect(whole).toHaveLength(120)
      for (const writer of ['one', 'two']) {
        const sequences = whole
          .filter(batch => batch.startsWith(`${writer} `))
          .map(batch => Number(batch.split(' ')[1]))
        expect(sequences).toEqual(numbers(0, 60))
      }
    })

    test('a reading process may start first, sees entries soon, and is resumed after kill -9', async () => {
      const reading = { act: 'read', name: 'settler', batchEntries: 0 } as const
      let reader = start(reading)
      await sleep(300)
      const log = await openLog()
      const [begin] = await log.partitions('calls')
      let expected = begin?.beginOffset ?? 0
      for (let kill = 0; kill < 5; kill++) {
        const until = performance.now() + 40 + Math.random() * 40
        let end = expected
        while (performance.now() < until) {
          await log.append('calls', numbered(end, end + 10))
          end += 10
        }
        reader.child.kill('SIGKILL')
        await reader.closed
        const ranges = reader.lines.map(line => line.split(' ').map(Number))
        const handled = ranges.at(-1)?.[1] ?? expected
        // What was appended so far may be committed: the next one needs something to say.
        await log.append('calls', numbered(end, end + 10))
        end += 10
        reader = start(reading)
        await vi.waitFor(() => expect(reader.lines.at(-1)).toMatch(new RegExp(` ${end}$`)), waiting)
        const resumedAt = Number(reader.lines[0]?.split(' ')[0])
        expect(resumedAt).toBeLessThanOrEqual(handled)
        expect(resumedAt).toBeGreaterThanOrEqual(expected)
        expected = end
      }
    }, 360_000)
  })
}

function keyed(values: string[]) {
  return values.map((value, index) => ({ key: `${index}`, value }))
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}

function numbered(from: number, to: number) {
  return numbers(from, to).map(number => ({ key: 'same', value: JSON.stringify(number) }))
}

function valuesOf(batches: LogBatch[], topic?: string): unknown[] {
  const wanted = batches.filter(batch => topic === undefined || batch.topic === topic)
  return wanted.flatMap(batch => batch.entries.map(entry => JSON.parse(entry.value)))
}

function incompressible(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('base64')
}

/** A reader that keeps what it was given (`seen`) and what it handled without rejecting (`batches`). */
function collect(reader: Partial<LogReader> = {}) {
  const seen: LogBatch[] = []
  const batches: LogBatch[] = []
  const assigned: (LogPartition & { committedOffset: number | null })[] = []
  const collecting: LogReader = {
    async assigned(partition) {
      const offset = reader.assigned ? await reader.assigned(partition) : null
      assigned.push(partition)
      return offset
    },
    async handle(batch, heartbeat) {
      seen.push(batch)
      await reader.handle?.(batch, heartbeat)
      batches.push(batch)
    },
    revoked: async partition => reader.revoked?.(partition),
  }
  return { reader: collecting, batches, seen, assigned }
}

/** Reads all of `calls` and answers `writer sequence` of each batch in order; fails where one is torn or reordered. */
async function wholeBatches(log: CallLog): Promise<string[]> {
  const whole: string[] = []
  const [partition] = await log.partitions('calls')
  if (!partition) throw new Error('calls has a partition')
  let next = { writer: '', sequence: 0, index: 0, of: 0 }
  for (let offset = partition.beginOffset; offset < partition.endOffset; ) {
    const batch = await log.read('calls', partition.partition, offset, 20_000)
    for (const entry of batch.entries) {
      const value = JSON.parse(entry.value)
      if (next.index === next.of) next = { ...value, index: 0 }
      expect(value).toEqual(next)
      next.index++
      if (next.index === next.of) whole.push(`${next.writer} ${next.sequence}`)
    }
    offset = batch.nextOffset
  }
  expect(next.index).toBe(next.of)
  return whole
}
