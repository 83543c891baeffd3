/**
 * Amazon Data Firehose's HTTP endpoint: records in base64 within one JSON document, each the text that a gateway wrote, or
 * what a CloudWatch Logs subscription made of it. It needs an answer of its own, and drops the records after a 413.
 * https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html
 */
import type { IncomingHttpHeaders } from 'node:http'
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { BodyError, decompressBody, parseBody } from './body.ts'
import { lineOf } from './lines.ts'

const REQUEST_ID = 'x-amz-firehose-request-id'

const Delivery = Compile(Type.Object({ records: Type.Array(Type.Object({ data: Type.String() })) }))

/** A subscription's message. `CONTROL_MESSAGE` only asks whether somebody is there. */
const Subscription = Type.Object({
  messageType: Type.Enum(['DATA_MESSAGE', 'CONTROL_MESSAGE']),
  logEvents: Type.Array(Type.Object({ message: Type.String() })),
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

/** A record that cannot be decompressed: a rejection, so that it holds up no other one. */
const NO_RECORD = Buffer.from('(a record that is not gzip)')

/**
 * All that the gateway wrote, as lines; `null` for a body that is no delivery. Throws `BodyError` when the records are
 * larger than `bytesMax` together, or take far more memory than their bytes.
 */
export async function openFirehose(body: Buffer, bytesMax: number): Promise<Buffer | null> {
  const { parsed } = parseBody(body)
  if (parsed.kind !== 'value' || !Delivery.Check(parsed.value)) return null
  const lines: string[] = []
  let left = bytesMax
  for (const { data } of parsed.value.records) {
    const bytes = await recordOf(data, left)
    left -= bytes.length
    for (const line of writtenLines(bytes)) lines.push(line)
  }
  return Buffer.from(lines.join('\n'))
}

async function recordOf(data: string, bytesMax: number): Promise<Buffer> {
  try {
    return await decompressBody(Buffer.from(data, 'base64'), '', bytesMax)
  } catch (error) {
    if (error instanceof BodyError && error.code === 'BODY_UNREADABLE') return NO_RECORD
    throw error
  }
}

function writtenLines(record: Buffer): string[] {
  if (!record.includes('"messageType"')) return [record.toString('utf8')]
  const { text, parsed } = parseBody(record)
  if (parsed.kind !== 'value' || !subscription.Check(parsed.value)) return [text]
  const { messageType, logEvents }: Subscription = parsed.value
  return messageType === 'DATA_MESSAGE' ? logEvents.map(({ message }) => lineOf(message)) : []
}
