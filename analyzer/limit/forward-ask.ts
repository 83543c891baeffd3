/** What a forwarded request asks: who calls what, at which cost, by the headers that the gateway set. */
import { isUtf8 } from 'node:buffer'
import type { IncomingHttpHeaders } from 'node:http'
import { TEXT_CHARACTERS_MAX } from '../../collector/call-record.ts'
import type { DimensionField } from '../policy/quota.ts'
import { UNITS, type Unit } from '../usage/units.ts'
import { findInRequest, type ReadCaller, type Refusal } from './caller.ts'
import { DoorError } from './door-error.ts'
import { COST_MAX, noDimensions } from './http.ts'
import type { Ask, Cost } from './limiter.ts'

const DIMENSION_HEADERS: Record<string, Exclude<DimensionField, 'tenant' | 'consumer' | 'route'>> = {
  'x-quotacast-gateway': 'gateway',
  'x-quotacast-service': 'service',
  'x-quotacast-provider': 'provider',
  'x-quotacast-model': 'model',
  'x-quotacast-provider-key': 'providerKey',
}
/** Where gateways say which URI was called: most of them, nginx, ingress-nginx. */
const URI_HEADERS = ['x-forwarded-uri', 'x-original-uri', 'x-original-url']
const BEYOND_ASCII = /[\x80-\xff]/
const ORIGIN = /^https?:\/\/[^/]*/i

export interface Forwarded {
  headers: IncomingHttpHeaders
  /** Names, in lower case, of those that came more than once. */
  repeated: ReadonlySet<string>
  /** The URI of the call where the request's own path says it, else `null`. */
  uri: string | null
}

export interface ForwardAskDeps {
  readCaller: ReadCaller
  /** The route of a path, as in call records: ids replaced. */
  routeOf: (path: string) => string
}

/** The call, or why its caller is refused. Throws `DoorError` for headers that make no sense. */
export function forwardAsk(
  { readCaller, routeOf }: ForwardAskDeps,
  forwarded: Forwarded,
  onlyTenant: string | null,
): Ask | Refusal {
  const { headers, repeated } = forwarded
  const only = (name: string) => onlyText(headers, repeated, name)
  const header = (name: string) => boundedText(only(name), name)
  const uri = forwarded.uri ?? uriOf(only)
  const caller = readCaller(source => findInRequest(source, only, uri), onlyTenant)
  if (caller.refusal !== null) return caller.refusal
  const dims = noDimensions()
  dims.tenant = caller.tenant
  dims.consumer = caller.consumer
  for (const name in DIMENSION_HEADERS) {
    const field = DIMENSION_HEADERS[name]
    if (field !== undefined) dims[field] = header(name)
  }
  if (uri !== null) dims.route = routeOf(uri).slice(0, TEXT_CHARACTERS_MAX)
  return {
    dims,
    cost: parseCost(header('x-quotacast-cost')),
    clientIp: header('x-quotacast-client-ip') ?? lastHop(textOf(headers['x-forwarded-for'])),
    requestId: header('x-quotacast-request-id'),
    isDryRun: false,
  }
}

/** A header's text; null when it is absent or empty. */
function textOf(value: string | string[] | undefined): string | null {
  if (typeof value !== 'string' || value === '') return null
  return BEYOND_ASCII.test(value) ? asUtf8(value) : value
}

/** HTTP's headers are bytes, which Node reads as Latin-1; names are in UTF-8 in call records and at the other doors. */
function asUtf8(value: string): string {
  const bytes = Buffer.from(value, 'latin1')
  return isUtf8(bytes) ? bytes.toString() : value
}

/** Who serves the call may take another one of several for the client's credential than we would. */
function onlyText(headers: IncomingHttpHeaders, repeated: ReadonlySet<string>, name: string): string | null {
  if (repeated.has(name)) throw new DoorError(400, 'header_invalid', `${name} is there more than once: send it once`)
  return textOf(headers[name])
}

function boundedText(value: string | null, name: string): string | null {
  if (value !== null && value.length > TEXT_CHARACTERS_MAX) {
    throw new DoorError(400, 'header_invalid', `${name} is longer than ${TEXT_CHARACTERS_MAX} characters`)
  }
  return value
}

function uriOf(only: (name: string) => string | null): string | null {
  for (const name of URI_HEADERS) {
    const uri = only(name)
    if (uri !== null) return uri.replace(ORIGIN, '')
  }
  return null
}

/** `unit=amount` joined by commas, or a number of requests. */
function parseCost(text: string | null): Cost {
  if (text === null) return {}
  if (/^\d+$/.test(text)) return { requests: amountOf(text) }
  const cost: Cost = {}
  for (const part of text.split(',')) {
    const [name, amount = '', ...rest] = part.split('=').map(word => word.trim())
    const unit = UNITS.find(known => known === name)
    if (unit === undefined || rest.length > 0) throw costError(part)
    cost[unit satisfies Unit] = amountOf(amount)
  }
  return cost
}

function amountOf(text: string): number {
  const amount = Number(text)
  if (!/^\d+$/.test(text) || amount > COST_MAX) throw costError(text)
  return amount
}

const costError = (part: string) =>
  new DoorError(400, 'header_invalid', `x-quotacast-cost: expected unit=amount, got ${JSON.stringify(part.trim())}`)

/** The address that the gateway itself saw: what stands before it in the list is the client's own word. */
const lastHop = (list: string | null) => list?.split(',').at(-1)?.trim() || null
