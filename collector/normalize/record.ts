/** From a draft to a whole record that is not checked yet. Values of a wrong type pass through, for the check to name. */
import { type CallRecord, LABELS_MAX, TEXT_CHARACTERS_MAX } from '../call-record.ts'
import { type Identity, isFingerprint, looksLikeSecret } from '../identity.ts'
import { deliveryCallId, requestCallId } from './call-id.ts'
import { type ClientIpPolicy, clientIpOf } from './client-ip.ts'
import type { Draft } from './draft.ts'
import { outcomeOf } from './outcome.ts'
import { isSecretName } from './redact.ts'
import type { RouteBook } from './route.ts'

/** What the calls of one body, or one stretch of a file, have in common. */
export interface Delivery {
  /** Name of the source. */
  source: string
  dialect: string
  arrivedAtMs: number
  /** The gateway of inputs that name none. */
  gateway: string | null
  /** The tenant of callers of whom nothing else says it. */
  tenant: string | null
  /** The only tenant that the sender may write, or `null` for all. */
  restriction: string | null
  /** Added to every instant of a recorded trace that is moved. */
  shiftMs: number
  fileStem: string | null
  columns: readonly string[] | null
  /** There are columns, but too many to be kept with every rejection: these cannot be decoded again. */
  isContextCut?: boolean
  /** The id of the rejection whose input is decoded again. In that input credentials are their fingerprints. */
  replayedId?: string
  /** Names the raw input at a position, in the same way when it is sent again. */
  keyAt(position: number): string
  /** The raw input at a position, `null` where a rejection keeps none. */
  inputAt(position: number): string | null
}

/** A record's fields with whatever the gateway wrote. */
export type UncheckedRecord = Record<keyof CallRecord, unknown>

export interface RecordMeans {
  identity: Identity
  clientIp: ClientIpPolicy
  routes: RouteBook
}

/** Start of a draft's call in Unix milliseconds before any shift; what stands there when it is no number. */
export function startedAtOf(draft: Draft): unknown {
  if (known(draft.startedAtMs) !== null || typeof draft.endedAtMs !== 'number') return known(draft.startedAtMs)
  return Math.round(draft.endedAtMs - (typeof draft.latencyMs === 'number' ? draft.latencyMs : 0))
}

/** All fields but those that are computed from a checked record (`totalTokens`, `costMicros` where unknown). */
export function recordOf(draft: Draft, delivery: Delivery, position: number, means: RecordMeans): UncheckedRecord {
  const { identity } = means
  const isReplay = delivery.replayedId !== undefined
  const credential = textOf(draft.credential)
  // Nobody but a replay may claim to be a fingerprint.
  const credentialMark = isReplay && credential !== null && isFingerprint(credential) ? credential : null
  const caller = identity.identify({
    credential: credentialMark === null ? credential : null,
    credentialMark,
    credentialId: textOf(draft.credentialId),
    consumer: textOf(draft.consumer),
    tenant: textOf(draft.tenant),
  })
  const record: UncheckedRecord = {
    callId: '',
    requestId: known(draft.requestId),
    startedAtMs: shifted(startedAtOf(draft), delivery.shiftMs),
    arrivedAtMs: delivery.arrivedAtMs,
    tenant: isMistyped(draft.tenant) ? draft.tenant : (caller.tenant ?? delivery.tenant ?? delivery.restriction),
    consumer: isMistyped(draft.consumer) ? draft.consumer : caller.consumer,
    gateway: known(draft.gateway) ?? delivery.gateway,
    dialect: draft.dialect ?? delivery.dialect,
    method: known(draft.method),
    host: known(draft.host),
    route: routeOfDraft(draft, means.routes),
    service: known(draft.service),
    provider: known(draft.provider),
    model: known(draft.model),
    providerKey: withoutSecret(known(draft.providerKey), identity),
    status: draft.status,
    outcome: known(draft.outcome) ?? outcomeOfDraft(draft),
    latencyMs: draft.latencyMs,
    upstreamLatencyMs: draft.upstreamLatencyMs,
    requestBytes: draft.requestBytes,
    responseBytes: draft.responseBytes,
    inputTokens: draft.inputTokens,
    cachedInputTokens: draft.cachedInputTokens,
    outputTokens: draft.outputTokens,
    totalTokens: draft.totalTokens,
    costMicros: draft.costMicros,
    upstreamLimits:
      delivery.shiftMs === 0 ? draft.upstreamLimits : shiftedLimits(draft.upstreamLimits, delivery.shiftMs),
    decisionId: known(draft.decisionId),
    clientIp: clientIpOfDraft(draft, means),
    labels: draft.labels === null ? {} : withoutSecretLabels(draft.labels, identity, isReplay),
  }
  record.callId = callIdOf(record, delivery, position)
  return record
}

/** Gateways write empty text for what they do not know. */
const known = (value: unknown) => (value === '' ? null : value)
const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : null)
const isMistyped = (value: unknown) => value !== null && typeof value !== 'string'
const shifted = (value: unknown, shiftMs: number) => (typeof value === 'number' ? value + shiftMs : value)

function callIdOf(record: UncheckedRecord, delivery: Delivery, position: number): string {
  const { requestId, startedAtMs } = record
  if (typeof requestId !== 'string' || typeof startedAtMs !== 'number') {
    return delivery.replayedId ?? deliveryCallId(delivery.keyAt(position), delivery.restriction)
  }
  const call = { requestId, startedAtMs, gateway: textOf(record.gateway), consumer: textOf(record.consumer) }
  return requestCallId(call, delivery.restriction)
}

function routeOfDraft(draft: Draft, routes: RouteBook): unknown {
  const route = textOf(draft.route)
  return route === null
    ? known(draft.route)
    : routes.route(route, textOf(draft.service)?.slice(0, TEXT_CHARACTERS_MAX) ?? '')
}

function outcomeOfDraft(draft: Draft) {
  const isFromUpstream =
    draft.upstreamLimits !== null || (typeof draft.upstreamLatencyMs === 'number' && draft.upstreamLatencyMs > 0)
  return outcomeOf({ status: typeof draft.status === 'number' ? draft.status : null, isFromUpstream })
}

function clientIpOfDraft(draft: Draft, { identity, clientIp }: RecordMeans): unknown {
  const address = textOf(draft.clientIp)
  return address === null ? known(draft.clientIp) : clientIpOf(address, clientIp, identity.addressFingerprint)
}

const withoutSecret = (value: unknown, identity: Identity) =>
  typeof value === 'string' ? identity.nameOf(value) : value

function withoutSecretLabels(labels: unknown, identity: Identity, isReplay: boolean): unknown {
  if (typeof labels !== 'object' || labels === null) return labels
  const entries: [string, unknown][] = []
  for (const name in labels) {
    entries.push([name, labels[name as keyof typeof labels]])
    // One more than there may be is refused as a million of them is, which would only cost time.
    if (entries.length > LABELS_MAX) return Object.fromEntries(entries)
  }
  if (!entries.some(([name, value]) => isSecretLabel(name, value))) return labels
  const markOf = (value: string) => (isReplay && isFingerprint(value) ? value : identity.fingerprint(value))
  return Object.fromEntries(
    entries.map(([name, value]) => [name, isSecretLabel(name, value) ? markOf(String(value)) : value]),
  )
}

const isSecretLabel = (name: string, value: unknown) =>
  typeof value === 'string' && (isSecretName(name) || looksLikeSecret(value))

function shiftedLimits(limits: unknown, shiftMs: number): unknown {
  if (typeof limits !== 'object' || limits === null || !('units' in limits)) return limits
  if (typeof limits.units !== 'object' || limits.units === null) return limits
  const units = Object.entries(limits.units).map(([unit, limit]) => [
    unit,
    typeof limit?.resetAtMs === 'number' ? { ...limit, resetAtMs: limit.resetAtMs + shiftMs } : limit,
  ])
  return { ...limits, units: Object.fromEntries(units) }
}
