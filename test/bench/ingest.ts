import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Quotacast, startQuotacast } from '../e2e/quotacast.ts'
import { startBare } from './load.ts'
import { cpuSeconds, residentMiB } from './machine.ts'
import { fixed, printTable, thousands } from './table.ts'

const RECORDS = 600_000
const BATCH = 500
const IN_FLIGHT = 8
const POLL_MS = 50

interface Sent {
  beginMs: number
  ms: number
  acknowledged: number
}

async function send(url: string, token: string): Promise<Sent> {
  const script = new URL('send-calls.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, url, token, String(RECORDS), String(BATCH), String(IN_FLIGHT)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let sent = {}
  for await (const line of createInterface({ input: child.stdout })) sent = { ...sent, ...JSON.parse(line) }
  if (!('acknowledged' in sent)) throw new Error('the sender failed; its message is above')
  return sent as Sent
}

async function storedAt(quotacast: Quotacast, records: number): Promise<number> {
  for (;;) {
    const [row] = await quotacast.query<{ count: number }>("SELECT count() AS count FROM calls WHERE gateway = 'bench'")
    if (row !== undefined && row.count >= records) return Date.now()
    await sleep(POLL_MS)
  }
}

/** Records per second from `POST /v1/calls` until they are rows of `calls`, and what bounds it. */
export async function benchIngest(): Promise<void> {
  process.stdout.write(
    `Ingest: ${thousands(RECORDS)} records in batches of ${BATCH}, ${IN_FLIGHT} in flight, sender on the same machine\n\n`,
  )
  const bare = await startBare('http')
  const baseline = await send(bare.url, 'none')
  bare.stop()
  const quotacast = await startQuotacast()
  try {
    const groups = {
      collector: quotacast.rolePids('collector'),
      store: quotacast.rolePids('store'),
      'limiter (settler)': quotacast.rolePids('limiter'),
      analyzer: quotacast.rolePids('analyzer'),
    }
    const cpu = () => Object.values(groups).map(pids => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0))
    const before = cpu()
    const sent = await send(quotacast.urls.collector, quotacast.token)
    const storedMs = (await storedAt(quotacast, sent.acknowledged)) - sent.beginMs
    const after = cpu()
    const perSecond = (ms: number) => thousands((RECORDS / ms) * 1000)
    printTable(
      ['records', 'per second', 'ratio to bare'],
      [
        ['bare node:http, body read and dropped', perSecond(baseline.ms), '1'],
        ['acknowledged (durable in the log)', perSecond(sent.ms), fixed(baseline.ms / sent.ms, 2)],
        ['stored in `calls` (end to end)', perSecond(storedMs), fixed(baseline.ms / storedMs, 2)],
      ],
    )
    printTable(
      ['process', 'CPU µs a record', 'resident MiB'],
      Object.entries(groups).map(([name, pids], index) => [
        name,
        fixed((((after[index] ?? 0) - (before[index] ?? 0)) * 1e6) / RECORDS, 1),
        thousands(pids.reduce((sum, pid) => sum + residentMiB(pid), 0)),
      ]),
    )
  } finally {
    await quotacast.stop()
    quotacast.remove()
  }
}
