/**
 * Amazon Data Firehose's HTTP endpoint: records in base64 within one JSON document, each the text that a gateway wrote, or
 * what a CloudWatch Logs subscription made of it. It needs an answer of its own, and drops the records after a 413.
 * https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html
 */
import type { IncomingHttpHeaders } from 'node:http'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { decompressBody } from './body.ts'
import { parseJson } from './json.ts'
import { lineOf } from './lines.ts'

const REQUEST_ID = 'x-amz-firehose-request-id'

const Delivery = Compile(Type.Object({ records: Type.Array(Type.Object({ data: Type.String() })) }))

/** A subscription's message. `CONTROL_MESSAGE` only asks whether somebody is there. */
const Subscription = Type.Object({
  messageType: Type.String(),
  logEvents: Type.Optional(Type.Array(Type.Object({ message: Type.String() }))),
})
type Subscription = Static<typeof Subscription>
const subscription = Compile(Subscription)

/** The id of the delivery, the same when it comes again; `null` for what is not Firehose's. */
export function firehoseId(headers: IncomingHttpHeaders): string | null {
  const id = headers[REQUEST_ID]
  return typeof id === 'string' && id !== '' ? id : null
}

/** What Firehose must be answered, in a success and in a failure. */
export const firehoseAnswer = (requestId: string, nowMs: number, errorMessage?: string) => ({
  requestId,
  timestamp: nowMs,
  ...(errorMessage === undefined ? {} : { errorMessage }),
})

/**
 * All that the gateway wrote, as lines; `null` for a body that is no delivery. Throws `BodyError` when a record cannot be
 * decompressed, or all of them are larger than `bytesMax`.
 */
export async function openFirehose(body: Buffer, bytesMax: number): Promise<Buffer | null> {
  const parsed = parseJson(body.toString('utf8'))
  if (parsed.kind !== 'value' || !Delivery.Check(parsed.value)) return null
  const lines: string[] = []
  let left = bytesMax
  for (const { data } of parsed.value.records) {
    const bytes = await decompressBody(Buffer.from(data, 'base64'), '', left)
    left -= bytes.length
    lines.push(...writtenLines(bytes.toString('utf8')))
  }
  return Buffer.from(lines.join('\n'))
}

function writtenLines(text: string): string[] {
  if (!text.includes('"messageType"')) return [text]
  const parsed = parseJson(text)
  if (parsed.kind !== 'value' || !subscription.Check(parsed.value)) return [text]
  const { messageType, logEvents = [] }: Subscription = parsed.value
  return messageType === 'DATA_MESSAGE' ? logEvents.map(({ message }) => lineOf(message)) : []
}
