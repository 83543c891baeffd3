import { expect, test } from 'vitest'
import type { Rejection } from '../../../collector/call-record.ts'
import type { LogEntry } from '../../../collector/log/call-log.ts'
import type { MappingOptions } from '../../../collector/normalize/mapping.ts'
import { acceptBatch } from '../../../collector/receive/accept.ts'
import { splitBody } from '../../../collector/receive/body.ts'
import { plainSource } from '../../../collector/receive/source.ts'
import { ARRIVED_AT_MS, normalizerFor } from '../normalize/normalizer.ts'

const mappings: MappingOptions = { csv: { format: 'csv', fields: { startedAtMs: { from: 't', time: 'unix_ms' } } } }

/** What is appended of a body. */
async function appendedOf(name: string, body: string): Promise<LogEntry[]> {
  const normalizer = normalizerFor({ mappings })
  const dialect = normalizer.dialect(name)
  if (dialect === undefined) throw new Error('there is such a dialect')
  const source = plainSource(dialect)
  const batch = splitBody(Buffer.from(body), { source, fileStem: null, isNdjson: false, recordsMax: 10_000 })
  const appended: LogEntry[] = []
  const log = { append: async (_topic: string, entries: readonly LogEntry[]) => void appended.push(...entries) }
  await acceptBatch({ log, normalizer }, batch, {
    ...{ source: name, dialect: name, arrivedAtMs: ARRIVED_AT_MS, shiftMs: 0 },
    ...{ gateway: null, tenant: null, restriction: null },
    keyAt: position => String(position),
  })
  return appended
}

test('a rejection keeps the names of its columns, but not a header that is many times its line', async () => {
  const [kept] = await appendedOf('csv', 't,a\n1')
  expect(JSON.parse(kept?.value ?? '')).toMatchObject({
    columns: ['t', 'a'],
    isWhole: true,
  } satisfies Partial<Rejection>)
  const long = await appendedOf('csv', `t${',a'.repeat(50_000)}\n${'1\n'.repeat(100)}`)
  expect(long).toHaveLength(100)
  expect(JSON.parse(long[0]?.value ?? '')).toMatchObject({ input: '1', columns: null, isWhole: false })
  expect(Math.max(...long.map(({ value }) => value.length))).toBeLessThan(1000)
})

test('rejections of one batch do not keep again and again what their inputs share', async () => {
  const attribute = (key: string, value: string) => ({ key, value: { stringValue: value } })
  const shared = Array.from({ length: 250 }, (_, index) => attribute(`a${index}`, 'v'.repeat(4000)))
  const logRecords = Array<unknown>(200).fill({ attributes: [attribute('http.status_code', '200')] })
  const group = { resource: { attributes: shared }, scopeLogs: [{ logRecords }] }
  const appended = await appendedOf('otlp', JSON.stringify({ resourceLogs: [group] }))
  const rejections: Rejection[] = appended.map(({ value }) => JSON.parse(value))
  expect(rejections).toHaveLength(200)
  expect(rejections.filter(({ input }) => input !== '').length).toBeLessThan(80)
  expect(rejections.at(-1)).toMatchObject({ reason: 'missing_field', input: '', isWhole: false })
})
