/** What becomes of a body of a dialect, with a normalizer of its own, since one remembers routes. */
import type { CallRecord, Rejection } from '../../../collector/call-record.ts'
import { splitBody } from '../../../collector/receive/body.ts'
import { plainSource } from '../../../collector/receive/source.ts'
import type { Fixture, FixtureCall } from '../../fixtures/sources/fixture.ts'
import { deliveryOf, normalizerFor } from './normalizer.ts'

export type Outcome = CallRecord | Rejection | 'skipped'

/** As a gateway would send it. */
export const inputText = ({ input }: FixtureCall): string => (typeof input === 'string' ? input : JSON.stringify(input))

export function outcomesOf(
  { dialect: name, timezone = 'UTC' }: Pick<Fixture, 'dialect' | 'timezone'>,
  body: string,
): Outcome[] {
  const normalizer = normalizerFor({ clientIp: 'full' })
  const dialect = normalizer.dialect(name)
  if (dialect === undefined) throw new Error(`there is no dialect ${name}`)
  const source = { ...plainSource(dialect), timezone }
  const batch = splitBody(Buffer.from(body), { source, fileStem: null, isNdjson: false, recordsMax: 10_000 })
  return Array.from({ length: batch.size }, (_, position) => {
    const decoded = batch.decodedAt(position)
    const inputAt = (at: number) => batch.inputAt(at)
    const keyAt = (at: number) => `test ${at} ${batch.inputAt(at)}`
    const delivery = { ...deliveryOf(body, { dialect: name }), inputAt, keyAt }
    return decoded.kind === 'skip' ? 'skipped' : normalizer.normalize(decoded, delivery, position)
  })
}
