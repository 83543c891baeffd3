import { expect, test } from 'vitest'
import { toHistory } from '../../analyzer/forecast/history.ts'
import { uniform } from '../../analyzer/forecast/random.ts'
import { type Asked, moreSeries, type Series, sampleQuestions, samplingOf } from './questions.ts'

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
  return { id: 'one', set: 'any', fold: 0, values, history }
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
