import { expect, test } from 'vitest'
import { withoutSyslogPrefix } from '../../../collector/receive/syslog-prefix.ts'

test.each([
  ['<190>Nov 20 20:19:05 host gw: {"a":1}', '{"a":1}'],
  ['<190>Nov  2 20:19:05 gw: 203.0.113.9 - -', '203.0.113.9 - -'],
  ['<13>Nov 20 20:19:05 host {"a":1}', '{"a":1}'],
  ['<13>Nov 20 20:19:05 {"a":1}', '{"a":1}'],
  ['Nov 20 20:19:05 host haproxy[12]: 203.0.113.9:1 [x]', '203.0.113.9:1 [x]'],
  ['<13>Nov 20 20:19:05 host app[1]: @cee: {"a":1}', '{"a":1}'],
  ['2026-11-20T20:19:05.123456+00:00 host gw[12]: x', 'x'],
  ['<190>1 2026-11-20T20:19:05.123456Z host gw 42 - - {"a":1}', '{"a":1}'],
  ['<190>1 - - - - - - \uFEFF203.0.113.9 - -', '203.0.113.9 - -'],
  [String.raw`<190>1 2026-11-20T20:19:05Z h gw 42 ID [x@1 a="b \" ] \\" c=""][y@2] body [z]`, 'body [z]'],
  ['<34>1 2026-11-20T20:19:05Z host gw - - -', ''],
  ['<134>{"a":1}', '{"a":1}'],
])('%s', (line, message) => {
  expect(withoutSyslogPrefix(line)).toBe(message)
})

test.each([
  '{"a":"<190>1 - - - - - - x"}',
  '203.0.113.9 - alice [20/Nov/2026:20:19:05 +0000] "GET / HTTP/1.1" 200 1 "-" "-"',
  '<HTTPCLIENT> - - x',
  'Nov 20 20:19:05 is a date',
  '',
])('%s is itself', line => {
  expect(withoutSyslogPrefix(line)).toBe(line)
})
