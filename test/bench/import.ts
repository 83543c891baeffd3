import { createWriteStream, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Quotacast, startQuotacast } from '../e2e/quotacast.ts'
import { nginxFixture } from '../fixtures/sources/nginx.ts'
import { anonymousMiB } from './machine.ts'
import { fixed, printTable, thousands } from './table.ts'

const CHUNK_LINES = 1000
const SAMPLE_MS = 250
/** Gateway of calls that somebody else sends meanwhile. */
const OTHER = 'other'

/** Lines of the log_format of our guide, each of another call. */
async function writeLog(file: string, fileBytes: number): Promise<number> {
  const variables = nginxFixture.calls[0]?.input as Record<string, unknown>
  let lines = 0
  function* chunks() {
    for (let bytes = 0; bytes < fileBytes; ) {
      const chunk = Array.from({ length: CHUNK_LINES }, () => {
        const line = {
          ...variables,
          msec: 1_784_620_800 + lines / 1000,
          request_id: lines.toString(16).padStart(32, '0'),
        }
        lines += 1
        return `${JSON.stringify(line)}\n`
      }).join('')
      bytes += chunk.length
      yield chunk
    }
  }
  await pipeline(Readable.from(chunks()), createWriteStream(file))
  return lines
}

interface Measured {
  way: string
  linesPerSecond: number
  /** The most that each process took, without the pages of files that the kernel keeps for it. */
  peaksMiB: Map<string, number>
  /** Calls that another sender sent meanwhile, and the longest that it waited for an answer. */
  others: number
  slowestMs: number
}

interface Way {
  name: string
  /** Begins; resolves with the process that reads the file, where that is not the collector. */
  begin(quotacast: Quotacast): number | null
}

async function measure(way: Way, config: Record<string, unknown>, lines: number): Promise<Measured> {
  const quotacast = await startQuotacast(config)
  try {
    const beginMs = performance.now()
    const importer = way.begin(quotacast)
    const [collector = 0] = quotacast.rolePids('collector')
    const measured: Measured = { way: way.name, linesPerSecond: 0, peaksMiB: new Map(), others: 0, slowestMs: 0 }
    const pids = { collector, ...(importer === null ? {} : { importer }) }
    while ((await storedLines(quotacast)) < lines) {
      for (const [name, pid] of Object.entries(pids)) {
        measured.peaksMiB.set(name, Math.max(measured.peaksMiB.get(name) ?? 0, anonymousMiB(pid)))
      }
      const sentMs = performance.now()
      const { status } = await quotacast.post('collector', '/v1/calls', { startedAtMs: Date.now(), gateway: OTHER })
      if (status >= 300) throw new Error(`the other sender was answered with ${status}`)
      measured.others += 1
      measured.slowestMs = Math.max(measured.slowestMs, performance.now() - sentMs)
      await sleep(SAMPLE_MS)
    }
    measured.linesPerSecond = (lines / (performance.now() - beginMs)) * 1000
    return measured
  } finally {
    await quotacast.stop()
    quotacast.remove()
  }
}

async function storedLines(quotacast: Quotacast): Promise<number> {
  const [row] = await quotacast.query<{ count: number }>(
    `SELECT count() AS count FROM calls WHERE gateway != '${OTHER}'`,
  )
  return row?.count ?? 0
}

/** One big file, by `quotacast import` and as a source that the collector follows: how fast, and in how much memory. */
export async function benchImport({ fileBytes }: { fileBytes: number }): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-import-'))
  try {
    const file = join(dir, 'calls.log')
    const lines = await writeLog(file, fileBytes)
    process.stdout.write(
      `Import: a file of ${fixed(fileBytes / 2 ** 30, 2)} GiB, ${thousands(lines)} lines of nginx in JSON\n\n`,
    )
    const followed = join(dir, 'followed.log')
    // The collector is not ready before it is there.
    writeFileSync(followed, '')
    const ways: readonly [Way, Record<string, unknown>][] = [
      [
        {
          name: '`import` beside the collector',
          begin(quotacast) {
            let pid: number | null = null
            quotacast
              .cli(['import', file, '--source', 'nginx', '--json'], child => {
                pid = child.pid ?? null
              })
              .catch(() => undefined)
            return pid
          },
        },
        {},
      ],
      [
        {
          name: 'a source that the collector follows',
          begin() {
            renameSync(file, followed)
            return null
          },
        },
        { sources: { followed: { dialect: 'nginx', receive: { kind: 'file', paths: [followed] } } } },
      ],
    ]
    const measured: Measured[] = []
    for (const [way, config] of ways) measured.push(await measure(way, config, lines))
    printTable(
      ['way', 'lines a second, until stored', 'peak MiB', 'other sender: slowest answer, ms'],
      measured.map(({ way, linesPerSecond, peaksMiB, others, slowestMs }) => [
        way,
        thousands(linesPerSecond),
        [...peaksMiB].map(([name, peak]) => `${name} ${fixed(peak, 0)}`).join(', '),
        `${fixed(slowestMs, 0)} of ${others}`,
      ]),
    )
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
