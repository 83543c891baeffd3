/**
 * Envoy's access log as text: the default formats of Envoy and of Istio.
 * https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage
 */
import type { Fields } from './fields.ts'

const HEAD = String.raw`^\[(?<start_time>[^\]]{1,64})\] "(?<method>\S+) (?<path>\S*) [^"]*" (?<response_code>\d+) (?<response_flags>\S+)`
const COUNTS = String.raw`(?<bytes_received>\d+|-) (?<bytes_sent>\d+|-) (?<duration>\d+|-) (?<upstream_service_time>\S+)`
/** Nothing escapes the quotes within these; the last four hold none, so what is left over belongs to the user agent. */
const HEADERS = `"(?<x_forwarded_for>[^"]*)" ".*" "(?<request_id>[^"]*)" "(?<authority>[^"]*)" "[^"]*"`
const ISTIO_DETAILS = String.raw`(?<response_code_details>\S+) [^"]* "[^"]*"`
const ISTIO_TAIL = String.raw`(?<upstream_cluster>\S+) \S+ \S+ (?<downstream_remote_address>\S+) \S+ (?<route_name>.*)`

const ENVOY_LINE = new RegExp(`${HEAD} ${COUNTS} ${HEADERS}$`)
const ISTIO_LINE = new RegExp(`${HEAD} ${ISTIO_DETAILS} ${COUNTS} ${HEADERS} ${ISTIO_TAIL}$`)

/** The values of a line by the names that they have in JSON; `null` for a line of another format. */
export function envoyTextFields(line: string): Fields | null {
  return (ENVOY_LINE.exec(line) ?? ISTIO_LINE.exec(line))?.groups ?? null
}
