import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Quotacast, startQuotacast } from '../e2e/quotacast.ts'
import { DISTRIBUTED, EMBEDDED, type StartedWorld } from '../e2e/world.ts'
import { whatIsMissing } from '../servers/missing.ts'
import { measureBareKafka } from './bare-kafka.ts'
import { startBare } from './load.ts'
import { cpuSecondsOf, residentMiB } from './machine.ts'
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

interface Ingest {
  world: string
  acknowledgedMs: number
  storedMs: number
  processes: { name: string; cpuMicros: number; residentMiB: number }[]
}

/** What one world makes of the records. */
async function measureIngest(world: string, { config, pids }: Pick<StartedWorld, 'config' | 'pids'>): Promise<Ingest> {
  const quotacast = await startQuotacast(config)
  try {
    const groups = {
      collector: quotacast.rolePids('collector'),
      store: quotacast.rolePids('store'),
      'limiter (settler)': quotacast.rolePids('limiter'),
      analyzer: quotacast.rolePids('analyzer'),
      ...Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, [pid]])),
    }
    const cpu = () => Object.values(groups).map(cpuSecondsOf)
    const before = cpu()
    const sent = await send(quotacast.urls.collector, quotacast.token)
    const storedMs = (await storedAt(quotacast, sent.acknowledged)) - sent.beginMs
    const after = cpu()
    const processes = Object.entries(groups).map(([name, pids], index) => ({
      name,
      cpuMicros: (((after[index] ?? 0) - (before[index] ?? 0)) * 1e6) / RECORDS,
      residentMiB: pids.reduce((sum, pid) => sum + residentMiB(pid), 0),
    }))
    return { world, acknowledgedMs: sent.ms, storedMs, processes }
  } finally {
    await quotacast.stop()
    quotacast.remove()
  }
}

/** kafkajs alone and Quotacast on the same broker; what is missing for it is said. */
async function measureOnKafka(rows: [string, number][]): Promise<Ingest[]> {
  const missing = whatIsMissing(DISTRIBUTED.checks)
  if (missing !== null) {
    process.stdout.write(`Left out: ${DISTRIBUTED.name}. ${missing}\n\n`)
    return []
  }
  const world = await DISTRIBUTED.start()
  try {
    const log = world.config.log as { brokers: string[] }
    const load = { records: RECORDS, batch: BATCH, inFlight: IN_FLIGHT }
    const bare = await measureBareKafka(log.brokers, load)
    rows.push(['bare kafkajs, produced', bare.producedPerSecond], ['bare kafkajs, consumed', bare.consumedPerSecond])
    return [await measureIngest(DISTRIBUTED.name, world)]
  } finally {
    await world.stop()
  }
}

/** Records per second from `POST /v1/calls` until they are rows of `calls`, and what bounds it. */
export async function benchIngest(): Promise<void> {
  process.stdout.write(
    `Ingest: ${thousands(RECORDS)} records in batches of ${BATCH}, ${IN_FLIGHT} in flight, sender and servers on the same machine\n\n`,
  )
  const bare = await startBare('http')
  const baseline = await send(bare.url, 'none')
  bare.stop()
  const perSecond = (ms: number) => (RECORDS / ms) * 1000
  const rows: [string, number][] = [['bare node:http, body read and dropped', perSecond(baseline.ms)]]
  const ingests = [await measureIngest(EMBEDDED.name, { config: {}, pids: {} }), ...(await measureOnKafka(rows))]
  for (const { world, acknowledgedMs, storedMs } of ingests) {
    rows.push([`${world}: acknowledged (durable in the log)`, perSecond(acknowledgedMs)])
    rows.push([`${world}: stored in \`calls\` (end to end)`, perSecond(storedMs)])
  }
  printTable(
    ['records', 'per second', 'ratio to bare node:http'],
    rows.map(([name, rate]) => [name, thousands(rate), fixed(rate / perSecond(baseline.ms), 2)]),
  )
  printTable(
    ['process', 'CPU µs a record', 'resident MiB'],
    ingests.flatMap(({ world, processes }) =>
      processes.map(({ name, cpuMicros, residentMiB: resident }) => [
        `${world}: ${name}`,
        fixed(cpuMicros, 1),
        thousands(resident),
      ]),
    ),
  )
}
