/** The values that gateways on Envoy log, by the names that the dialects know. Neither headers with keys nor queries are among them. */
import { LIMIT_HEADERS } from './limit-headers.ts'

/** Operators of Envoy that need no formatter of its own. */
const CALL: readonly (readonly [name: string, operator: string])[] = [
  ['start_time', '%START_TIME%'],
  ['method', '%REQ(:METHOD)%'],
  ['response_code', '%RESPONSE_CODE%'],
  ['response_flags', '%RESPONSE_FLAGS%'],
  ['response_code_details', '%RESPONSE_CODE_DETAILS%'],
  ['bytes_received', '%BYTES_RECEIVED%'],
  ['bytes_sent', '%BYTES_SENT%'],
  ['duration', '%DURATION%'],
  ['upstream_service_time', '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%'],
  ['request_id', '%REQ(X-REQUEST-ID)%'],
  ['authority', '%REQ(:AUTHORITY)%'],
  ['upstream_cluster', '%UPSTREAM_CLUSTER%'],
  ['route_name', '%ROUTE_NAME%'],
  ['downstream_remote_address', '%DOWNSTREAM_REMOTE_ADDRESS%'],
  ['tenant', '%DYNAMIC_METADATA(envoy.filters.http.ext_authz:tenant)%'],
  ['consumer', '%DYNAMIC_METADATA(envoy.filters.http.ext_authz:consumer)%'],
  ['decision_id', '%REQ(X-QUOTACAST-DECISION-ID)%'],
]

/** Without the ones of no unit, which Envoy's own limits write too. */
export const UPSTREAM_LIMIT_HEADERS: readonly string[] = LIMIT_HEADERS.filter(
  name => !/^x-ratelimit-[a-z]+$/.test(name),
)

type Value = readonly [name: string, operator: string]

const VALUES: readonly Value[] = [
  ...CALL,
  // Without the query, in which keys may be.
  ['path', '%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%'],
  ...UPSTREAM_LIMIT_HEADERS.map((name): Value => [name, `%RESP(${name})%`]),
]

/** Members of a map in YAML, indented by as many spaces. */
export const formatMap = (indent: number, more: readonly Value[] = []): string =>
  [...VALUES, ...more].map(([name, operator]) => `${' '.repeat(indent)}${name}: "${operator}"`).join('\n')

/** Attributes of OpenTelemetry in YAML. */
export const formatAttributes = (indent: number): string =>
  VALUES.map(
    ([name, operator]) => `${' '.repeat(indent)}- { key: ${name}, value: { string_value: "${operator}" } }`,
  ).join('\n')
