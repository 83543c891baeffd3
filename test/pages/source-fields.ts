/** What the fixtures of a dialect show: the fields of the record that it fills. */
import { CallRecord } from '../../collector/call-record.ts'
import { inputText, outcomesOf } from '../collector/normalize/outcomes.ts'
import type { Fixture } from '../fixtures/sources/fixture.ts'

/** Every record has these, whoever wrote it. */
const OURS = ['callId', 'arrivedAtMs', 'dialect']
const FIELDS = Object.keys(CallRecord.properties).filter(field => !OURS.includes(field) && field !== 'labels')

/** In the order of the record; labels as `labels.NAME` behind them. */
export function filledFields(fixtures: readonly Fixture[]): string[] {
  const filled = new Set<string>()
  const labels = new Set<string>()
  for (const fixture of fixtures) {
    for (const outcome of fixture.calls.flatMap(call => outcomesOf(fixture, inputText(call)))) {
      if (outcome === 'skipped' || 'reason' in outcome) continue
      for (const [field, value] of Object.entries(outcome)) if (value !== null) filled.add(field)
      for (const label of Object.keys(outcome.labels)) labels.add(`labels.${label}`)
    }
  }
  return [...FIELDS.filter(field => filled.has(field)), ...[...labels].toSorted()]
}
