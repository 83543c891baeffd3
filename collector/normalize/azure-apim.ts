/**
 * Azure API Management: the records that its diagnostic settings send to event hubs and storage (camelCase, some fields
 * around `properties`), rows of its Log Analytics table (PascalCase, flat), and what our `log-to-eventhub` policy writes under
 * the same names. The log of language models comes as records of its own, which are joined where both came together.
 * https://learn.microsoft.com/azure/api-management/gateway-log-schema-reference
 */
import { putDenial } from './denial.ts'
import { type Decode, type Dialect, type Draft, emptyDraft, refusal, SKIP } from './draft.ts'
import { countOf, durationOf, type Fields, fieldsAt, firstText, isFields, textOf } from './fields.ts'
import { headerReader } from './headers.ts'
import { presentLabels } from './labels.ts'
import { outcomeOf } from './outcome.ts'
import { putOwnFields } from './own-fields.ts'
import { addProviderAnswer } from './provider-answer.ts'
import { putTarget } from './request-line.ts'
import { instantOfIso } from './time.ts'
import { putUpstreamLimits } from './upstream-limits.ts'

export const azureApim: Dialect = {
  name: 'azure-apim',
  framing: { kind: 'json' },
  definition: 'azure-apim 1',
  hasUnnamedSecrets: false,
  unwrap: recordsOf,
  open: () => decode,
}

const CALLS = 'gatewaylogs'
const MODELS = 'gatewayllmlogs'

/** The records of a document, what is said of a language model put into the record of its call as `llm`. */
function recordsOf(document: unknown): readonly unknown[] {
  if (Array.isArray(document)) return document.flatMap(item => (Array.isArray(item) ? [item] : recordsOf(item)))
  if (!isFields(document) || !Array.isArray(document.records)) return [document]
  const models = new Map<string, unknown>()
  for (const record of document.records) {
    const id = isFields(record) && categoryOf(record) === MODELS ? textOf(lowerCased(record).correlationid) : null
    if (id !== null) models.set(id, record)
  }
  if (models.size === 0) return document.records
  return document.records.map(record => {
    const id = isFields(record) && categoryOf(record) === CALLS ? textOf(lowerCased(record).correlationid) : null
    const llm = id === null ? undefined : models.get(id)
    return llm === undefined ? record : { ...record, llm }
  })
}

const categoryOf = (record: Fields) => firstText(record.category, record.Category)?.toLowerCase() ?? null

/** Names without their case, which differs between the ways; those of `properties` beside the others. */
function lowerCased(record: Fields): Fields {
  const fields: Record<string, unknown> = {}
  for (const level of [record, fieldsAt(record, 'properties')]) {
    for (const name in level) fields[name.toLowerCase()] = level[name]
  }
  return fields
}

const decode: Decode = raw => {
  if (!isFields(raw)) return refusal('unreadable', 'A record of API Management is a JSON object.')
  const category = categoryOf(raw)
  if (category !== null && category !== CALLS) return SKIP
  const fields = lowerCased(raw)
  const draft = emptyDraft()
  draft.requestId = textOf(fields.correlationid)
  draft.startedAtMs = instantOfIso(fields.time ?? fields.timegenerated)
  draft.latencyMs = durationOf(fields.durationms ?? fields.totaltime, 1)
  // The subscription is the credential, and unlike its key it is in every record.
  draft.consumer = textOf(fields.apimsubscriptionid)
  draft.credentialId = draft.consumer
  draft.method = textOf(fields.method)
  putTarget(draft, textOf(fields.url), headerReader(fields.requestheaders))
  draft.service = firstText(fields.backendid, fields.apiid)
  draft.requestBytes = countOf(fields.requestsize)
  draft.responseBytes = countOf(fields.responsesize)
  draft.clientIp = textOf(fields.calleripaddress)
  addModel(draft, isFields(raw.llm) ? lowerCased(raw.llm) : fields)
  const error = firstText(fieldsAt(fields, 'lasterror').reason, fields.lasterrorreason)
  addEnding(draft, fields, error)
  const operation = firstText(fields.operationid)
  draft.labels = presentLabels({ api: fields.apiid, operation, product: fields.productid, error })
  putOwnFields(draft, raw)
  return draft
}

function addModel(draft: Draft, fields: Fields): void {
  draft.model = firstText(fields.modelname, fields.deploymentname)
  draft.inputTokens = countOf(fields.prompttokens)
  draft.outputTokens = countOf(fields.completiontokens)
  draft.totalTokens = countOf(fields.totaltokens)
}

/** Policies that refuse a call, by the reason of the last error; the quota of one is a 403. */
const OWN_LIMIT = /^(?:RateLimit|Quota|TokenLimit|TokenQuota|LlmTokenLimit|AzureOpenAITokenLimit)\w*Exceeded$/i
const CLIENT_GONE = 'ClientConnectionFailure'

function addEnding(draft: Draft, fields: Fields, error: string | null): void {
  const status = countOf(fields.responsecode)
  const backendStatus = countOf(fields.backendresponsecode) || null
  draft.status = status
  draft.upstreamLatencyMs = backendStatus === null ? null : durationOf(fields.backendtime, 1)
  if (error !== null && OWN_LIMIT.test(error)) draft.outcome = 'limited'
  else if (error === CLIENT_GONE) draft.outcome = 'aborted'
  else draft.outcome = outcomeOf({ status, isFromUpstream: backendStatus !== null && backendStatus === status })
  if (backendStatus !== null) {
    putUpstreamLimits(draft, headerReader(fields.backendresponseheaders))
    addProviderAnswer(draft, fields.backendresponsebody ?? fields.responsebody)
  }
  // Diagnostic settings have both, the policy has the backend's.
  for (const headers of [fields.responseheaders, fields.backendresponseheaders]) putDenial(draft, headerReader(headers))
}
