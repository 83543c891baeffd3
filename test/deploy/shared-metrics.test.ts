import { expect, test } from 'vitest'
import { joinMetrics } from '../../deploy/shared-metrics.ts'

const text = (value: number) =>
  [
    '# HELP a_total A.',
    '# TYPE a_total counter',
    `a_total{name="x{y}\\n"} ${value}`,
    '# HELP b_seconds B.',
    '# UNIT b_seconds s',
    '# TYPE b_seconds gauge',
    '',
  ].join('\n')

test('what is of one metric stands together, each process in its own series', () => {
  const more = `${text(2)}b_seconds{topic="calls"} 0.5\n`
  const joined = joinMetrics(
    new Map([
      ['1', more],
      ['0', text(1)],
    ]),
  )
  expect(joined.split('\n')).toEqual([
    '# HELP a_total A.',
    '# TYPE a_total counter',
    'a_total{process="0",name="x{y}\\n"} 1',
    'a_total{process="1",name="x{y}\\n"} 2',
    '# HELP b_seconds B.',
    '# UNIT b_seconds s',
    '# TYPE b_seconds gauge',
    'b_seconds{process="1",topic="calls"} 0.5',
    '',
  ])
})
