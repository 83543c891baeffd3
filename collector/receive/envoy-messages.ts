/**
 * What Envoy's access log service sends (`envoy.service.accesslog.v3`), as far as we read it, in the camelCase names of
 * its JSON mapping; durations, instants and wrapped numbers stay the messages that they are.
 */
import { decodeProtobuf, type Message, many, map, one } from './protobuf.ts'

/** Messages within one message of the stream: some 5,000 entries with all their parts. */
const MESSAGES_MAX = 2 ** 18

/** `Timestamp` and `Duration` alike. */
const moment: Message = { 1: one('seconds', 'int64'), 2: one('nanos', 'int32') }
const wrapped: Message = { 1: one('value', 'uint32') }
const socketAddress: Message = { 2: one('address', 'string'), 3: one('portValue', 'uint32') }
const address: Message = { 1: one('socketAddress', () => socketAddress) }

/** `google.protobuf.Struct`, in which filters leave what they know of a call. */
const struct: Message = { 1: map('fields', () => structValue) }
const structList: Message = { 1: many('values', () => structValue) }
const structValue: Message = {
  1: one('nullValue', 'int32'),
  2: one('numberValue', 'double'),
  3: one('stringValue', 'string'),
  4: one('boolValue', 'bool'),
  5: one('structValue', () => struct),
  6: one('listValue', () => structList),
}
const metadata: Message = { 1: map('filterMetadata', () => struct) }

const unauthorizedDetails: Message = { 1: one('reason', 'int32') }
const responseFlags: Message = {
  1: one('failedLocalHealthcheck', 'bool'),
  2: one('noHealthyUpstream', 'bool'),
  3: one('upstreamRequestTimeout', 'bool'),
  4: one('localReset', 'bool'),
  5: one('upstreamRemoteReset', 'bool'),
  6: one('upstreamConnectionFailure', 'bool'),
  7: one('upstreamConnectionTermination', 'bool'),
  8: one('upstreamOverflow', 'bool'),
  9: one('noRouteFound', 'bool'),
  10: one('delayInjected', 'bool'),
  11: one('faultInjected', 'bool'),
  12: one('rateLimited', 'bool'),
  13: one('unauthorizedDetails', () => unauthorizedDetails),
  14: one('rateLimitServiceError', 'bool'),
  15: one('downstreamConnectionTermination', 'bool'),
  16: one('upstreamRetryLimitExceeded', 'bool'),
  17: one('streamIdleTimeout', 'bool'),
  18: one('invalidEnvoyRequestHeaders', 'bool'),
  19: one('downstreamProtocolError', 'bool'),
  20: one('upstreamMaxStreamDurationReached', 'bool'),
  21: one('responseFromCacheFilter', 'bool'),
  22: one('noFilterConfigFound', 'bool'),
  23: one('durationTimeout', 'bool'),
  24: one('upstreamProtocolError', 'bool'),
  25: one('noClusterFound', 'bool'),
  26: one('overloadManager', 'bool'),
  27: one('dnsResolutionFailure', 'bool'),
  28: one('dropOverload', 'bool'),
}
const commonProperties: Message = {
  2: one('downstreamRemoteAddress', () => address),
  5: one('startTime', () => moment),
  6: one('timeToLastRxByte', () => moment),
  7: one('timeToFirstUpstreamTxByte', () => moment),
  9: one('timeToFirstUpstreamRxByte', () => moment),
  10: one('timeToLastUpstreamRxByte', () => moment),
  12: one('timeToLastDownstreamTxByte', () => moment),
  13: one('upstreamRemoteAddress', () => address),
  15: one('upstreamCluster', 'string'),
  16: one('responseFlags', () => responseFlags),
  17: one('metadata', () => metadata),
  18: one('upstreamTransportFailureReason', 'string'),
  19: one('routeName', 'string'),
  20: one('downstreamDirectRemoteAddress', () => address),
  22: map('customTags', 'string'),
  23: one('duration', () => moment),
  26: one('streamId', 'string'),
  29: one('downstreamWireBytesSent', 'uint64'),
  30: one('downstreamWireBytesReceived', 'uint64'),
  33: one('accessLogType', 'int32'),
}
const request: Message = {
  1: one('requestMethod', 'int32'),
  2: one('scheme', 'string'),
  3: one('authority', 'string'),
  5: one('path', 'string'),
  8: one('forwardedFor', 'string'),
  9: one('requestId', 'string'),
  10: one('originalPath', 'string'),
  11: one('requestHeadersBytes', 'uint64'),
  12: one('requestBodyBytes', 'uint64'),
  13: map('requestHeaders', 'string'),
}
const response: Message = {
  1: one('responseCode', () => wrapped),
  2: one('responseHeadersBytes', 'uint64'),
  3: one('responseBodyBytes', 'uint64'),
  4: map('responseHeaders', 'string'),
  5: map('responseTrailers', 'string'),
  6: one('responseCodeDetails', 'string'),
}
const entry: Message = {
  1: one('commonProperties', () => commonProperties),
  2: one('protocolVersion', 'int32'),
  3: one('request', () => request),
  4: one('response', () => response),
}
const entries: Message = { 1: many('logEntry', () => entry) }
const node: Message = { 1: one('id', 'string'), 2: one('cluster', 'string') }
const identifier: Message = { 1: one('node', () => node), 2: one('logName', 'string') }
const streamed: Message = { 1: one('identifier', () => identifier), 2: one('httpLogs', () => entries) }

/** One message of `StreamAccessLogs`; only the first of a stream says who writes it. */
export interface StreamedLogs {
  identifier?: { node?: { id?: string; cluster?: string }; logName?: string }
  httpLogs?: { logEntry?: Record<string, unknown>[] }
}

/** Throws `ProtobufError`. */
export const decodeStreamed = (bytes: Buffer): StreamedLogs => decodeProtobuf(bytes, streamed, MESSAGES_MAX)
