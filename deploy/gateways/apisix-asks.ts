/** https://apisix.apache.org/docs/apisix/plugins/forward-auth/ */
import type { AskingSetup, Destination } from './guide.ts'

const TIMEOUT_MS = 500

/** The limiter alone says what a call was asked with; while it is away, nobody else would drop what a client says. */
const DROP =
  "return function(_, ctx) require('apisix.core').request.set_header(ctx, 'X-Quotacast-Decision-Id', nil) end"

const plugin = ({ limiterUrl, source, token }: Destination) =>
  JSON.stringify(
    {
      'serverless-pre-function': { phase: 'rewrite', functions: [DROP] },
      'forward-auth': {
        uri: `${limiterUrl}/v1/auth`,
        request_headers: ['Authorization', 'X-Api-Key', 'apikey'],
        extra_headers: {
          'X-Quotacast-Token': token,
          'X-Quotacast-Gateway': source,
          'X-Quotacast-Consumer': '$consumer_name',
          'X-Quotacast-Client-Ip': '$remote_addr',
        },
        upstream_headers: ['X-Quotacast-Decision-Id'],
        client_headers: ['Retry-After', 'RateLimit', 'RateLimit-Policy', 'Content-Type', 'X-Quotacast-Denied'],
        timeout: TIMEOUT_MS,
        keepalive_pool: 32,
        allow_degradation: true,
      },
    },
    null,
    2,
  )

export const apisixAsks: readonly AskingSetup[] = [
  {
    title: 'With the forward-auth plugin',
    run: { by: 'nobody' },
    steps: [
      {
        text: 'Put this into `plugins` of the routes, services or consumers that are to be limited. The one drops the id of a decision that a client sends, the other asks, behind the authentication plugins, so the consumer is known. Where none names it, callers are limited by their keys: what a call took stays with whom the question knew, as the log does not say it, and forecasts see calls of nobody. Versions that know no `extra_headers` take the token behind the path (`/v1/auth/TOKEN`), and callers are known by their keys.',
        snippet: { language: 'json', of: plugin },
      },
      {
        text: 'Without an answer of the limiter calls pass; with `allow_degradation: false` they get 403. An answer of 5xx, such as that of a proxy before the limiter, is handed to the client in any case.',
      },
      {
        text: 'The log format above tells `http_x_quotacast_decision_id`, which joins a call to its question.',
      },
    ],
  },
]
