/**
 * Unusual use, found in the public series that people have labelled (numenta/NAB, combined_windows.json: windows about
 * each anomaly), hour by hour, each judged by what came before it. What overlaps no window counts as wrong.
 */
import { existsSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { type ExpectedHour, expectedHours, UNUSUAL_SCORE } from '../../analyzer/forecast/anomalies.ts'
import { type History, toHistory } from '../../analyzer/forecast/history.ts'
import { fixed, printTable } from './table.ts'

const SERIES = new URL('../../../shared/data/forecast/prepared/web.jsonl.gz', import.meta.url).pathname
const HOUR_MS = 3_600_000

/** The labelled windows of the series, UTC. */
const WINDOWS: Record<string, readonly (readonly [from: string, to: string])[]> = {
  'web/tweets-FB': [
    ['2015-03-14T22:12:53Z', '2015-03-17T16:02:53Z'],
    ['2015-04-02T08:52:53Z', '2015-04-05T02:42:53Z'],
  ],
  'web/tweets-GOOG': [
    ['2015-03-12T22:22:53Z', '2015-03-14T18:22:53Z'],
    ['2015-03-22T00:52:53Z', '2015-03-23T20:52:53Z'],
    ['2015-03-31T07:27:53Z', '2015-04-02T03:27:53Z'],
  ],
  'web/tweets-IBM': [
    ['2015-03-16T15:07:53Z', '2015-03-18T11:07:53Z'],
    ['2015-03-23T00:27:53Z', '2015-03-24T20:27:53Z'],
    ['2015-04-19T22:07:53Z', '2015-04-21T18:07:53Z'],
  ],
  'web/tweets-KO': [
    ['2015-03-19T15:12:53Z', '2015-03-21T11:12:53Z'],
    ['2015-04-08T01:42:53Z', '2015-04-09T21:42:53Z'],
    ['2015-04-13T16:52:53Z', '2015-04-15T12:52:53Z'],
  ],
  'web/netin-257a54': [['2014-04-14T23:59:00Z', '2014-04-16T09:29:00Z']],
}

interface Found {
  hours: number
  right: number
  windows: number
  windowsFound: number
}

/** Hours of a series that one way of looking finds unusual. */
type Detector = (hours: readonly ExpectedHour[], history: History) => readonly ExpectedHour[]

/** What a dashboard's rule of thumb finds: more or less than three standard deviations from the mean of four weeks. */
const threeSigma: Detector = hours =>
  hours.filter(({ used }, index) => {
    const before = hours.slice(Math.max(0, index - 28 * 24), index).map(hour => hour.used)
    const mean = before.reduce((sum, value) => sum + value, 0) / before.length
    const variance = before.reduce((sum, value) => sum + (value - mean) ** 2, 0) / before.length
    return before.length > 1 && Math.abs(used - mean) > 3 * Math.sqrt(variance)
  })
const scoreFrom =
  (least: number): Detector =>
  hours =>
    hours.filter(({ score }) => Math.abs(score) >= least)

function judge(detect: Detector, all: readonly { id: string; history: History }[]): Found {
  const sum: Found = { hours: 0, right: 0, windows: 0, windowsFound: 0 }
  for (const { id, history } of all) {
    const hours = expectedHours(history, 0)
    const knownFromMs = hours[0]?.startMs ?? Number.POSITIVE_INFINITY
    const windows = (WINDOWS[id] ?? [])
      .map(([from, to]) => ({ fromMs: Date.parse(from), toMs: Date.parse(to) }))
      .filter(({ toMs }) => toMs > knownFromMs)
    const isIn = (startMs: number) => (window: { fromMs: number; toMs: number }) =>
      startMs < window.toMs && startMs + HOUR_MS > window.fromMs
    const found = detect(hours, history)
    sum.hours += found.length
    sum.right += found.filter(({ startMs }) => windows.some(isIn(startMs))).length
    sum.windows += windows.length
    sum.windowsFound += windows.filter(window => found.some(({ startMs }) => isIn(startMs)(window))).length
  }
  return sum
}

/** Prints how much of what is found was labelled, and how much of what was labelled is found. */
export function benchAnomalies(): Promise<void> {
  if (!existsSync(SERIES)) {
    process.stdout.write(`Unusual use: not measured. The labelled series are expected at ${SERIES}.\n\n`)
    return Promise.resolve()
  }
  const all = gunzipSync(readFileSync(SERIES))
    .toString()
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { id: string; step: number; start: number; values: number[] })
    .filter(({ id }) => id in WINDOWS)
    .map(({ id, step, start, values }) => {
      const endMs = (start + values.length * step) * 1000
      return { id, history: toHistory(values, start * 1000, step * 1000, endMs) }
    })
  const detectors: [string, Detector][] = [
    [`score of ${UNUSUAL_SCORE} (what the API reports)`, scoreFrom(UNUSUAL_SCORE)],
    ['score of 3', scoreFrom(3)],
    ['score of 5', scoreFrom(5)],
    ['three standard deviations from the mean', threeSigma],
    ['every hour', hours => hours],
  ]
  process.stdout.write(`Unusual use, ${all.length} labelled series of NAB by the hour\n\n`)
  printTable(
    ['', 'hours found', 'of them labelled', 'precision', 'labelled windows found'],
    detectors.map(([name, detect]) => {
      const { hours, right, windows, windowsFound } = judge(detect, all)
      return [
        name,
        `${hours}`,
        `${right}`,
        hours === 0 ? '-' : fixed(right / hours, 2),
        `${windowsFound} of ${windows}`,
      ]
    }),
  )
  return Promise.resolve()
}
