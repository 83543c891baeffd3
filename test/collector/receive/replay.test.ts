/** A replay of what a rejection keeps is the same call as the original, of every dialect. */
import { expect, test } from 'vitest'
import { isCallRecord } from '../../../collector/call-record.ts'
import { isRejection } from '../../../collector/normalize/normalize.ts'
import { keptInput, NOT_KEPT } from '../../../collector/normalize/redact.ts'
import { splitBody } from '../../../collector/receive/body.ts'
import { replayInput } from '../../../collector/receive/replay.ts'
import { plainSource } from '../../../collector/receive/source.ts'
import type { Fixture } from '../../fixtures/sources/fixture.ts'
import { FIXTURES } from '../../fixtures/sources/index.ts'
import { deliveryOf, identityFor, normalizerFor } from '../normalize/normalizer.ts'
import { inputText } from '../normalize/outcomes.ts'

const { fingerprint } = identityFor()
const ID = '00000000-0000-4000-8000-000000000000'

/** What makes a call the same: whoever resends it, and whoever replays it. */
const identityOf = (record: object) => {
  const { callId, requestId, startedAtMs, consumer } = record as Record<string, unknown>
  return requestId === null ? { startedAtMs } : { startedAtMs, requestId, consumer, callId }
}

/** Each input of a fixture as the record that it is, and as the record that its replay is. */
function* replays({ dialect: name, timezone = 'UTC', calls }: Fixture, knowsSecrets: boolean) {
  const normalizer = normalizerFor()
  const dialect = normalizer.dialect(name)
  if (dialect === undefined) throw new Error(`there is no dialect ${name}`)
  const source = { ...plainSource(dialect), timezone }
  for (const call of calls) {
    const shape = { source, fileStem: null, isNdjson: false, recordsMax: 1000 }
    const batch = splitBody(Buffer.from(inputText(call)), shape)
    for (let position = 0; position < batch.size; position++) {
      const decoded = batch.decodedAt(position)
      if (decoded.kind !== 'draft') continue
      const delivery = deliveryOf(null, { dialect: name, inputAt: at => batch.inputAt(at) })
      const original = normalizer.normalize(decoded, delivery, position)
      if (isRejection(original)) continue
      const secrets = knowsSecrets && typeof decoded.credential === 'string' ? [decoded.credential] : []
      const ids = knowsSecrets && typeof decoded.credentialId === 'string' ? [decoded.credentialId] : []
      const { input, isWhole } = keptInput(batch.inputAt(position), secrets, fingerprint, ids)
      if (!isWhole) continue
      const rejection = {
        callId: ID,
        gateway: null,
        dialect: name,
        input,
        source: name,
        restriction: null,
        shiftMs: 0,
        fileStem: null,
      }
      const means = { normalizer: normalizerFor(), sources: { find: () => source }, now: () => delivery.arrivedAtMs }
      const replayed = replayInput({ ...rejection, columns: null }, means)
      if (replayed.kind === 'rejected' && input.includes(NOT_KEPT)) continue
      yield { what: call.what, original, replayed }
    }
  }
}

test.each(FIXTURES.flatMap(fixture => [true, false].map(knows => [fixture.dialect, knows, fixture] as const)))(
  'a call of %s, its secrets known: %s',
  (_, knowsSecrets, fixture) => {
    let count = 0
    for (const { what, original, replayed } of replays(fixture, knowsSecrets)) {
      expect(replayed.kind, what).toBe('call')
      if (replayed.kind !== 'call') continue
      expect(isCallRecord(replayed.record), what).toBe(true)
      expect(identityOf(replayed.record), what).toEqual(identityOf(original))
      if (replayed.record.requestId === null) expect(replayed.record.callId, what).toBe(ID)
      count++
    }
    expect(count).toBeGreaterThan(0)
  },
)

test('what OpenTelemetry sent to a source is not read in the dialect of the source', () => {
  const normalizer = normalizerFor()
  const [caddy, otlp] = ['caddy', 'otlp'].map(name => normalizer.dialect(name))
  if (caddy === undefined || otlp === undefined) throw new Error('there are such dialects')
  const times = { startTimeUnixNano: '1784620800123000000', endTimeUnixNano: '1784620801000000000' }
  const span = { kind: 2, ...times, attributes: [{ key: 'http.request.method', value: { stringValue: 'GET' } }] }
  const [item] = otlp.unwrap?.({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }) ?? []
  const kept = { callId: ID, gateway: null, dialect: 'otlp', input: JSON.stringify(item), source: 'shop' }
  const context = { restriction: null, shiftMs: 0, fileStem: null, columns: null }
  const means = { normalizer, sources: { find: () => plainSource(caddy) }, now: () => 1_784_620_805_000 }
  expect(replayInput({ ...kept, ...context }, means)).toMatchObject({ kind: 'call', record: { method: 'GET' } })
})

test('nobody but a replay may claim to be a fingerprint', () => {
  const mark = fingerprint('a raw key')
  const normalizer = normalizerFor()
  const dialect = normalizer.dialect('canonical')
  if (dialect === undefined) throw new Error('there is no dialect canonical')
  const input = { startedAtMs: 1, credential: mark }
  const decoded = dialect.open({ fileStem: null, columns: null, timezone: 'UTC' })(input)
  if (decoded.kind === 'skip') throw new Error('it is a call')
  expect(normalizer.normalize(decoded, deliveryOf(input), 0)).not.toMatchObject({ consumer: mark })
  expect(normalizer.normalize(decoded, deliveryOf(input, { replayedId: ID }), 0)).toMatchObject({ consumer: mark })
})
