import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, onTestFinished, test } from 'vitest'
import { toHistory } from '../../analyzer/forecast/history.ts'
import { uniform } from '../../analyzer/forecast/random.ts'
import { type Asked, FOLDS, moreSeries, readSeries, type Series, sampleQuestions, samplingOf } from './questions.ts'

const STEP_MS = 600_000
const DAY_MS = 86_400_000
const DAYS = 20
const KNOWN_MS = 12 * DAY_MS

/** Two series of one name that are alike until `KNOWN_MS`. */
function seriesOf(later: number): Series {
  const random = uniform(1)
  const values = Float64Array.from({ length: (DAYS * DAY_MS) / STEP_MS }, (_, step) =>
    Math.floor(random() * 100 * (step * STEP_MS < KNOWN_MS ? 1 : later)),
  )
  const history = toHistory(values, 0, STEP_MS, DAYS * DAY_MS)
  return { id: 'one', set: 'web', fold: 0, values, history }
}
const askedUntil = (series: Series) =>
  sampleQuestions(series, samplingOf(series)).filter(({ nowMs }) => nowMs <= KNOWN_MS)
const known = ({ nowMs, windowStartMs, windowEndMs, used, limit }: Asked) =>
  [nowMs, windowStartMs, windowEndMs, used, limit].join(' ')

test('what is asked carries nothing of what came later', () => {
  const asked = askedUntil(seriesOf(1))
  expect(asked.length).toBeGreaterThan(50)
  expect(askedUntil(seriesOf(5)).map(known)).toEqual(asked.map(known))
  for (const { nowMs, windowStartMs } of asked) expect([nowMs % STEP_MS, windowStartMs % STEP_MS]).toEqual([0, 0])
})

test('series that are made are the same each time, and their calls are whole', () => {
  const counts = () => moreSeries([]).filter(({ set }) => set === 'counts')
  expect(counts().map(({ values }) => values)).toEqual(counts().map(({ values }) => values))
  expect(counts().every(({ values }) => values.every(Number.isInteger))).toBe(true)
})

test('the same series on other clocks stays in its fold, and is asked about windows below a day', () => {
  const one = { ...seriesOf(1), fold: 3 }
  const others = moreSeries([one]).filter(({ set }) => set.startsWith('web '))
  expect(others.length).toBeGreaterThan(0)
  for (const other of others) {
    const { values, fold, history } = other
    expect([values, fold]).toEqual([one.values, 3])
    expect(history.stepMs).not.toBe(STEP_MS)
    const asked = sampleQuestions(other, samplingOf(other))
    expect(asked.every(({ windowStartMs, windowEndMs }) => windowEndMs - windowStartMs < 86_400_000)).toBe(true)
  }
})

test('series of one client are in one fold, and the few of a small set in different ones', () => {
  const folder = mkdtempSync(join(tmpdir(), 'quotacast-series-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'prepared'))
  const write = (set: string, names: readonly string[]) => {
    const lines = names.map(name => JSON.stringify({ id: `${set}/${name}`, step: 60, start: 0, values: [1, 2] }))
    writeFileSync(join(folder, 'prepared', `${set}.jsonl.gz`), gzipSync(lines.join('\n')))
  }
  const clients = Array.from({ length: 20 }, (_, index) => `client-${index}`)
  write('servegen-req', clients)
  write('servegen-tok', clients)
  write('m4h', ['H1'])
  write('web', ['a', 'b', 'c', 'd', 'e'])
  write('long', ['x'])
  write('minute', ['y-req', 'y-tok'])
  const series = readSeries(folder)
  const foldOf = (id: string) => series.find(one => one.id === id)?.fold
  for (const client of clients) expect(foldOf(`servegen-req/${client}`)).toBe(foldOf(`servegen-tok/${client}`))
  expect(foldOf('minute/y-req')).toBe(foldOf('minute/y-tok'))
  const few = series.filter(({ set }) => ['web', 'long', 'minute'].includes(set))
  expect(new Set(few.map(({ fold }) => fold)).size).toBe(7)
  expect(new Set(series.map(({ fold }) => fold)).size).toBe(FOLDS)
})
