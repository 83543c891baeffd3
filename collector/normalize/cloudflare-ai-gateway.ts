/**
 * Cloudflare's AI Gateway: the entries of its logs API (snake_case) and of Workers Logpush (PascalCase, metadata and bodies
 * encrypted unless they were decrypted on the way). The OpenTelemetry that it exports is read as such.
 * https://developers.cloudflare.com/ai-gateway/observability/logging/
 */
import { type Decode, type Dialect, type Draft, emptyDraft, refusal } from './draft.ts'
import { countOf, durationOf, type Fields, firstText, isFields, microsOf, textOf } from './fields.ts'
import { innerFields } from './inner-json.ts'
import { presentLabels } from './labels.ts'
import { logpushInstant } from './logpush-instant.ts'
import { outcomeOf } from './outcome.ts'
import { addProviderAnswer } from './provider-answer.ts'
import { providerName } from './provider-name.ts'
import { putTarget } from './request-line.ts'

export const cloudflareAiGateway: Dialect = {
  name: 'cloudflare-ai-gateway',
  framing: { kind: 'json' },
  definition: 'cloudflare-ai-gateway 1',
  hasUnnamedSecrets: false,
  /** The logs API answers with pages. */
  unwrap: document => {
    const entries = isFields(document) && Array.isArray(document.result) ? document.result : document
    return Array.isArray(entries) ? entries : [entries]
  },
  open: () => decode,
}

/** `StatusCode` and `status_code` are one name. */
function plainNamed(raw: Fields): Fields {
  const fields: Record<string, unknown> = {}
  for (const name in raw) fields[name.replaceAll('_', '').toLowerCase()] = raw[name]
  return fields
}

const decode: Decode = raw => {
  if (!isFields(raw)) return refusal('unreadable', 'An entry of the log is a JSON object.')
  const fields = plainNamed(raw)
  const draft = emptyDraft()
  draft.requestId = firstText(fields.id, fields.logid)
  draft.startedAtMs = logpushInstant(fields.createdat ?? fields.datetime ?? fields.timestamp ?? null)
  draft.latencyMs = durationOf(fields.duration, 1)
  draft.gateway = firstText(fields.gateway, fields.gatewayid)
  const metadata = metadataOf(fields.metadata)
  draft.tenant = firstText(metadata.tenant, metadata.team, metadata.org)
  draft.consumer = firstText(metadata.consumer, metadata.user_id, metadata.user, metadata.userId)
  draft.method = 'POST'
  putTarget(draft, firstText(fields.path, fields.endpoint))
  draft.provider = providerName(textOf(fields.provider))
  draft.model = textOf(fields.model)
  draft.requestBytes = countOf(fields.requestsize)
  draft.responseBytes = countOf(fields.responsesize)
  const isCached = isTrue(fields.cached)
  // No provider was asked for what comes from the cache.
  draft.inputTokens = isCached ? 0 : countOf(fields.tokensin)
  draft.outputTokens = isCached ? 0 : countOf(fields.tokensout)
  draft.costMicros = isCached ? 0 : microsOf(fields.cost)
  addEnding(draft, fields, isCached)
  draft.labels = presentLabels({ cache: isCached ? 'hit' : null, step: fields.step })
  return draft
}

const isTrue = (value: unknown) => value === true || value === 'true' || value === 1

/** What the caller said in `cf-aig-metadata`, as an object or as JSON of one; a key and a nonce are what is encrypted. */
function metadataOf(metadata: unknown): Fields {
  if (isFields(metadata)) return metadata.iv === undefined ? metadata : {}
  return (typeof metadata === 'string' ? innerFields(metadata) : null) ?? {}
}

function addEnding(draft: Draft, fields: Fields, isCached: boolean): void {
  const status = countOf(fields.statuscode)
  const isOwnLimit = isTrue(fields.ratelimited)
  // Whatever is neither cached nor refused was sent to the provider.
  const isSent = !isCached && !isOwnLimit
  draft.status = status
  draft.upstreamLatencyMs = isSent ? draft.latencyMs : null
  if (isOwnLimit) draft.outcome = 'limited'
  else if (status === null) draft.outcome = fields.success === false ? 'server_error' : 'ok'
  else draft.outcome = outcomeOf({ status, isFromUpstream: isSent })
  if (isSent) addProviderAnswer(draft, fields.responsebody)
}
