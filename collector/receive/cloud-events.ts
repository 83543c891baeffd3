/**
 * CloudEvents over HTTP (https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md):
 * an event whose attributes are headers becomes the same document as one that is sent whole.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { parseJson } from './json.ts'
import { lineOf } from './lines.ts'

const PREFIX = 'ce-'
const STRUCTURED = /^application\/cloudevents(?:-batch)?\+json$/
const JSON_TYPE = /[/+]json$/

export const isCloudEvents = (type: string): boolean => STRUCTURED.test(type)

/** True for an event whose body is nothing but its data. */
export const isBinaryEvent = (headers: IncomingHttpHeaders): boolean => headers['ce-specversion'] !== undefined

/** What tells such an event from all others; empty where the sender says nothing. */
export const binaryEventId = (headers: IncomingHttpHeaders): string =>
  [headers['ce-source'], headers['ce-id']].filter(part => part !== undefined).join(' ')

/** The whole event of a body that is its data. */
export function structuredEvent(data: Buffer, headers: IncomingHttpHeaders, type: string): Buffer {
  const attributes: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(PREFIX) && typeof value === 'string') attributes[name.slice(PREFIX.length)] = decoded(value)
  }
  const text = data.toString('utf8')
  const isJson = type === '' || JSON_TYPE.test(type)
  const inner = isJson && parseJson(text).kind === 'value' ? text : JSON.stringify(text)
  const head = JSON.stringify({ ...attributes, datacontenttype: type === '' ? 'application/json' : type })
  return Buffer.from(`${head.slice(0, -1)},"data":${inner}}`)
}

/** Attribute values are percent-encoded where they are not plain. */
function decoded(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

/** What the gateway wrote into an event, or into each of a batch, as lines; what is no event is a line itself. */
export const eventLines = (document: unknown): Buffer =>
  Buffer.from((Array.isArray(document) ? document : [document]).map(event => lineOf(dataOf(event))).join('\n'))

function dataOf(event: unknown): unknown {
  if (typeof event !== 'object' || event === null || !('specversion' in event)) return event
  if ('data' in event) return event.data
  const bytes = 'data_base64' in event ? event.data_base64 : ''
  return Buffer.from(typeof bytes === 'string' ? bytes : '', 'base64').toString('utf8')
}
