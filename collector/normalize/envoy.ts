/**
 * Envoy and what is made of it (Envoy Gateway, Contour, Gloo, kgateway): the default text line, JSON, and entries of the
 * gRPC access log service. Dialects of gateways on Envoy add to it what only they know.
 */
import { type Decoded, type Dialect, type Draft, refusal } from './draft.ts'
import { alsDraft } from './envoy-als.ts'
import { envoyDraft } from './envoy-fields.ts'
import { envoyTextFields } from './envoy-text.ts'
import { type Fields, fieldsAt, isFields } from './fields.ts'
import { handMadeFields } from './hand-made-json.ts'

/** Completes a draft from the values of its entry by name; over gRPC `upstream_cluster` is the only one. */
type Complete = (draft: Draft, fields: Fields) => Decoded

export const envoyDialect = (name: string, complete: Complete): Dialect => ({
  name,
  framing: { kind: 'text' },
  definition: `${name} 1`,
  hasUnnamedSecrets: false,
  open: () => raw => decode(raw, complete),
})

export const envoy = envoyDialect('envoy', draft => draft)

const NEITHER =
  "This is no line of Envoy's or Istio's default format, and no JSON: for a format of your own use `json_format`."

function decode(raw: unknown, complete: Complete): Decoded {
  if (isFields(raw) && isFields(raw.als)) {
    const decoded = alsDraft(raw.als)
    if (decoded.kind !== 'draft') return decoded
    return complete(decoded, { upstream_cluster: fieldsAt(raw.als, 'commonProperties').upstreamCluster })
  }
  // JSON of text formats (Envoy Gateway's default, Higress') is broken by a quote in a header.
  const fields = handMadeFields(raw) ?? (typeof raw === 'string' ? envoyTextFields(raw) : null)
  return fields === null ? refusal('unreadable', NEITHER) : complete(envoyDraft(fields), fields)
}
