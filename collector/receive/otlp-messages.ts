/**
 * What OpenTelemetry's exporters send and expect (OTLP 1.x, https://opentelemetry.io/docs/specs/otlp/), as far as we read
 * it. An export request in protobuf becomes the same document that OTLP's JSON encoding has, so that one dialect reads both.
 */
import protobuf from 'protobufjs/minimal.js'
import { decodeProtobuf, type Message, many, one } from './protobuf.ts'

export type Signal = 'logs' | 'traces' | 'metrics'
/** What calls are made of. */
export type CallSignal = Exclude<Signal, 'metrics'>
export type Encoding = 'json' | 'protobuf'

/** Messages within one request: the attributes of some 10,000 spans. */
const MESSAGES_MAX = 2 ** 19

const keyValue: Message = { 1: one('key', 'string'), 2: one('value', () => anyValue) }
const arrayValue: Message = { 1: many('values', () => anyValue) }
const keyValueList: Message = { 1: many('values', () => keyValue) }
const anyValue: Message = {
  1: one('stringValue', 'string'),
  2: one('boolValue', 'bool'),
  3: one('intValue', 'int64'),
  4: one('doubleValue', 'double'),
  5: one('arrayValue', () => arrayValue),
  6: one('kvlistValue', () => keyValueList),
  7: one('bytesValue', 'base64'),
}
const resource: Message = { 1: many('attributes', () => keyValue) }
const scope: Message = {
  1: one('name', 'string'),
  2: one('version', 'string'),
  3: many('attributes', () => keyValue),
}

const logRecord: Message = {
  1: one('timeUnixNano', 'fixed64'),
  2: one('severityNumber', 'int32'),
  3: one('severityText', 'string'),
  5: one('body', () => anyValue),
  6: many('attributes', () => keyValue),
  8: one('flags', 'fixed32'),
  9: one('traceId', 'hex'),
  10: one('spanId', 'hex'),
  11: one('observedTimeUnixNano', 'fixed64'),
  12: one('eventName', 'string'),
}
const scopeLogs: Message = { 1: one('scope', () => scope), 2: many('logRecords', () => logRecord) }
const resourceLogs: Message = { 1: one('resource', () => resource), 2: many('scopeLogs', () => scopeLogs) }

const event: Message = { 2: one('name', 'string'), 3: many('attributes', () => keyValue) }
const link: Message = { 1: one('traceId', 'hex'), 2: one('spanId', 'hex') }
const status: Message = { 2: one('message', 'string'), 3: one('code', 'int32') }
const span: Message = {
  1: one('traceId', 'hex'),
  2: one('spanId', 'hex'),
  4: one('parentSpanId', 'hex'),
  5: one('name', 'string'),
  6: one('kind', 'int32'),
  7: one('startTimeUnixNano', 'fixed64'),
  8: one('endTimeUnixNano', 'fixed64'),
  9: many('attributes', () => keyValue),
  11: many('events', () => event),
  13: many('links', () => link),
  15: one('status', () => status),
}
const scopeSpans: Message = { 1: one('scope', () => scope), 2: many('spans', () => span) }
const resourceSpans: Message = { 1: one('resource', () => resource), 2: many('scopeSpans', () => scopeSpans) }

const REQUESTS: Readonly<Record<CallSignal, Message>> = {
  logs: { 1: many('resourceLogs', () => resourceLogs) },
  traces: { 1: many('resourceSpans', () => resourceSpans) },
}

/** An export request in OTLP's JSON encoding. Throws `ProtobufError`. */
export const decodeExport = (signal: CallSignal, bytes: Buffer): Record<string, unknown> =>
  decodeProtobuf(bytes, REQUESTS[signal], MESSAGES_MAX)

/** What an exporter is told: how many items it must not send again, and what there is to say. */
export interface ExportAnswer {
  rejected: number
  /** Empty when there is nothing to say. */
  message: string
}

const REJECTED_NAMES: Readonly<Record<Signal, string>> = {
  logs: 'rejectedLogRecords',
  traces: 'rejectedSpans',
  metrics: 'rejectedDataPoints',
}

/** An `Export…ServiceResponse`; the empty message is full success. */
export function encodeAnswer(signal: Signal, { rejected, message }: ExportAnswer, encoding: Encoding): Buffer {
  const isSuccess = rejected === 0 && message === ''
  if (encoding === 'json') {
    const partialSuccess = { [REJECTED_NAMES[signal]]: String(rejected), errorMessage: message }
    return Buffer.from(JSON.stringify(isSuccess ? {} : { partialSuccess }))
  }
  const answer = protobuf.Writer.create()
  if (!isSuccess) answer.uint32(10).fork().uint32(8).int64(rejected).uint32(18).string(message).ldelim()
  return Buffer.from(answer.finish())
}

/** A `google.rpc.Status`: what went wrong, for a request that failed as a whole. */
export function encodeStatus(code: number, message: string, encoding: Encoding): Buffer {
  if (encoding === 'json') return Buffer.from(JSON.stringify({ code, message }))
  return Buffer.from(protobuf.Writer.create().uint32(8).int32(code).uint32(18).string(message).finish())
}
