import { describe, expect, test } from 'vitest'
import { metricsFormat } from '../../deploy/metrics-format.ts'

const TEXT = 'text/plain; version=0.0.4; charset=utf-8'
const OPEN = 'application/openmetrics-text; version=1.0.0; charset=utf-8'
const DRAFT = 'application/openmetrics-text; version=0.0.1; charset=utf-8'

test.each([
  ['nothing', undefined, TEXT],
  ['anything', '*/*', TEXT],
  ['a browser', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', TEXT],
  ['a plain text', 'text/plain', TEXT],
  ['OpenMetrics', 'application/openmetrics-text', OPEN],
  ['Prometheus 2.20', 'application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1', DRAFT],
  [
    'Prometheus 2.42',
    'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
    OPEN,
  ],
  [
    'Prometheus 3',
    'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
    OPEN,
  ],
  ['the text rather', 'application/openmetrics-text;q=0.2, text/plain;q=0.9', TEXT],
  ['the text first', 'text/plain, application/openmetrics-text', TEXT],
  ['OpenMetrics by no means', 'application/openmetrics-text;q=0', TEXT],
  ['a later version', 'application/openmetrics-text; version=2.0.0', TEXT],
  [
    'protocol buffers',
    'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=1,Application/OpenMetrics-Text; Version=1.0.0; Q=0.5',
    OPEN,
  ],
])('who asks for %s', (_who, accept, contentType) => {
  expect(metricsFormat(accept).contentType).toBe(contentType)
})

describe('OpenMetrics', () => {
  const { write } = metricsFormat('application/openmetrics-text')

  test('names metrics without the endings of their samples, and units by words', () => {
    const text = [
      '# HELP target_info Target metadata',
      '# TYPE target_info gauge',
      'target_info{service_name="quotacast-limiter"} 1',
      '# HELP a_total What "one" of us\\nhas.',
      '# TYPE a_total counter',
      'a_total{name="x,le=\\"5\\"",otel_scope_name="s"} 2',
      '# HELP b_seconds B.',
      '# UNIT b_seconds s',
      '# TYPE b_seconds histogram',
      'b_seconds_count{otel_scope_name="s"} 3',
      'b_seconds_sum{otel_scope_name="s"} 4.5',
      'b_seconds_bucket{otel_scope_name="s",le="0.5"} 1',
      'b_seconds_bucket{otel_scope_name="s",le="10"} 3',
      'b_seconds_bucket{otel_scope_name="s",le="+Inf"} 3',
      '# HELP c C.',
      '# UNIT c s',
      '# TYPE c gauge',
      '',
    ].join('\n')
    expect(write(text).split('\n')).toEqual([
      '# TYPE target info',
      '# HELP target Target metadata',
      'target_info{service_name="quotacast-limiter"} 1',
      '# TYPE a counter',
      '# HELP a What \\"one\\" of us\\nhas.',
      'a_total{name="x,le=\\"5\\"",otel_scope_name="s"} 2',
      '# TYPE b_seconds histogram',
      '# UNIT b_seconds seconds',
      '# HELP b_seconds B.',
      'b_seconds_count{otel_scope_name="s"} 3',
      'b_seconds_sum{otel_scope_name="s"} 4.5',
      'b_seconds_bucket{otel_scope_name="s",le="0.5"} 1',
      'b_seconds_bucket{otel_scope_name="s",le="10.0"} 3',
      'b_seconds_bucket{otel_scope_name="s",le="+Inf"} 3',
      '# TYPE c gauge',
      '# HELP c C.',
      '# EOF',
      '',
    ])
  })

  test('has no comments, and ends where nothing is measured', () => {
    expect(write('# OTEL_SDK_DISABLED is true: nothing is measured\n')).toBe('# EOF\n')
  })
})
