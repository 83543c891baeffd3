import type { AskingSetup, Destination } from './guide.ts'

/** By Caddy's own order blocks of `handle`, which answer, come before one of `route`, in which the two could be ordered. */
const ORDER = 'order request_header before forward_auth'

const asking = ({ limiterHost, limiterPort, source, token }: Destination) => `request_header -X-Quotacast-*
forward_auth ${limiterHost}:${limiterPort} {
  uri /v1/auth
  header_up X-Quotacast-Token "${token}"
  header_up X-Quotacast-Gateway "${source}"
  header_up X-Quotacast-Client-Ip {http.request.remote.host}
  copy_headers X-Quotacast-Decision-Id X-Quotacast-Consumer
  transport http {
    dial_timeout 100ms
    response_header_timeout 500ms
  }
}
header {
  X-Quotacast-Decision-Id {http.request.header.X-Quotacast-Decision-Id}
  X-Quotacast-Consumer {http.request.header.X-Quotacast-Consumer}
  defer
}`

export const caddyAsks: readonly AskingSetup[] = [
  {
    title: 'With forward_auth',
    run: { by: 'tests', version: 'Caddy 2.6' },
    steps: [
      {
        text: 'Put this into the global options: the block without a name at the top of the Caddyfile. Without it, clients could say who they are.',
        snippet: { language: 'caddyfile', of: () => ORDER },
      },
      {
        text: 'Put this into the block of the site, not into one of `handle` or `route` in it: it is then asked before all of these. The answer of a call carries the id of its decision and its consumer into the log: the id joins the two, and both spend from one quota.',
        snippet: { language: 'caddyfile', of: asking },
      },
      {
        text: 'Callers are known by their keys (`Authorization`, `X-Api-Key`), whose fingerprints `keys` gives names. Where the `map` of the log names them, let the question say the same: `header_up X-Quotacast-Consumer {quotacast_consumer}` within `forward_auth`.',
      },
      {
        text: 'While the limiter is away, calls get 502. To let them pass, add this to the site, with the address of your upstream. It also takes over where the upstream itself cannot be reached.',
        snippet: {
          language: 'caddyfile',
          of: () => `handle_errors {
  @away expression \`{http.error.status_code} in [502, 503, 504]\`
  reverse_proxy @away upstream:9000
}`,
        },
      },
    ],
  },
]
