/** A Prometheus that scrapes the roles of the demo, where it is installed, and answers as Grafana would ask it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProcess } from '../servers/process.ts'
import { programCheck } from '../servers/program.ts'
import type { Target } from './board-json.ts'
import type { Answer } from './frames.ts'

const PROGRAM = 'prometheus'
const READY_MS = 30_000
/** That of `deploy/grafana/prometheus.yaml`; Grafana makes rates of four scrapes. */
const SCRAPE_SECONDS = 15
const RATE_INTERVAL = `${4 * SCRAPE_SECONDS}s`

export const prometheusCheck = programCheck('Prometheus', PROGRAM, ['--version'], 'apt-get install prometheus')

interface Asked {
  fromMs: number
  toMs: number
  /** Absent: the values of `toMs`. */
  stepSeconds?: number
}

export interface Prometheus {
  ask(target: Target, asked: Asked): Promise<Answer>
  /** What it has seen. */
  range(): { fromMs: number; toMs: number }
  stop(): Promise<void>
}

interface Result {
  metric: Record<string, string>
  value?: [number, string]
  values?: [number, string][]
}

export async function startPrometheus(options: {
  dir: string
  port: number
  ports: readonly number[]
  tokenFile: string
}): Promise<Prometheus> {
  const { dir, port, ports, tokenFile } = options
  mkdirSync(dir, { recursive: true })
  const targets = ports.map(each => `"127.0.0.1:${each}"`).join(', ')
  const configFile = join(dir, 'prometheus.yaml')
  writeFileSync(
    configFile,
    `scrape_configs: [{ job_name: quotacast, scrape_interval: ${SCRAPE_SECONDS}s, authorization: { credentials_file: ${tokenFile} }, static_configs: [{ targets: [${targets}] }] }]\n`,
  )
  const args = [
    `--config.file=${configFile}`,
    `--storage.tsdb.path=${join(dir, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]
  const startedAtMs = Date.now()
  const process = startProcess(PROGRAM, args, { cwd: dir, logFile: join(dir, 'log') })
  const prometheus = connectPrometheus(`http://127.0.0.1:${port}`, startedAtMs)
  const isReady = () =>
    fetch(`http://127.0.0.1:${port}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    )
  while (!(await isReady())) {
    if (Date.now() > startedAtMs + READY_MS) throw new Error('Prometheus did not become ready')
    await sleep(200)
  }
  return { ...prometheus, stop: () => process.stop() }
}

function connectPrometheus(url: string, startedAtMs: number): Omit<Prometheus, 'stop'> {
  return {
    range: () => ({ fromMs: startedAtMs, toMs: Date.now() }),
    async ask({ expr = '', legendFormat = '' }, { fromMs, toMs, stepSeconds }) {
      const query = expr
        .replaceAll('$__rate_interval', RATE_INTERVAL)
        .replaceAll('$__range', `${Math.round((toMs - fromMs) / 1000)}s`)
      const isSeries = stepSeconds !== undefined
      const when = isSeries
        ? { start: fromMs / 1000, end: toMs / 1000, step: Math.max(SCRAPE_SECONDS, stepSeconds) }
        : { time: toMs / 1000 }
      const params = new URLSearchParams({
        query,
        ...Object.fromEntries(Object.entries(when).map(([name, value]) => [name, String(value)])),
      })
      const answer = await fetch(`${url}/api/v1/${isSeries ? 'query_range' : 'query'}?${params}`)
      const { data, error } = (await answer.json()) as { data?: { result: Result[] }; error?: string }
      if (data === undefined) throw new Error(`${error}: ${query}`)
      return toAnswer(data.result, legendFormat)
    },
  }
}

const toAnswer = (results: readonly Result[], legend: string): Answer => ({
  columns: [
    { name: 'Time', kind: 'time' },
    { name: 'series', kind: 'text' },
    { name: 'Value', kind: 'number' },
  ],
  rows: results.flatMap(({ metric, value, values = value === undefined ? [] : [value] }) => {
    const name = legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '')
    return values.map(([seconds, text]) => [seconds * 1000, name, Number.isFinite(Number(text)) ? Number(text) : null])
  }),
})
