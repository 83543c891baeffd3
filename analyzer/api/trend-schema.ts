/** What trends of usage and of performance have in common, as the API answers it. */
import Type from 'typebox'
import { type Days, factorChanges, type LevelChange, levelChanges } from '../forecast/trends.ts'

const DAY_MS = 86_400_000
/** Smaller changes of a level, in logs, are not reported. */
const LOG_CHANGE_MIN = 0.1

export const GrowthAnswer = Type.Object(
  {
    factor: Type.Number({ description: 'By how much a week is multiplied: 1.1 is a tenth more each week.' }),
    low: Type.Number(),
    high: Type.Number({ description: '`low` to `high` holds the factor nine times in ten.' }),
  },
  { description: 'Growth by the week, robust against wild days and weekends.' },
)

export const ChangeAnswer = Type.Object({
  atMs: Type.Integer({ description: 'Begin of the first day of the new level, Unix milliseconds.' }),
  before: Type.Number({ description: 'Typical day before.' }),
  after: Type.Number({ description: 'Typical day since.' }),
})

/** Changes of the level of days, of which the first begins at `fromMs`. */
export const changesOf = (days: Days, fromMs: number, changeMin: number) => dated(levelChanges(days, changeMin), fromMs)

/** The same of amounts, whose changes are factors. */
export const factorChangesOf = (days: Days, fromMs: number) => dated(factorChanges(days, LOG_CHANGE_MIN), fromMs)

const dated = (changes: readonly LevelChange[], fromMs: number) =>
  changes.map(({ day, before, after }) => ({ atMs: fromMs + day * DAY_MS, before, after }))
