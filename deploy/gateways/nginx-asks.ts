/** nginx asks with a subrequest, of whose answer it takes nothing but 2xx, 401 and 403: the profile `/v1/auth/nginx` is made for it. */
import type { AskingSetup, Destination } from './guide.ts'

const upstream = ({ limiterHost, limiterPort }: Destination) => `upstream quotacast {
  server ${limiterHost}:${limiterPort};
  keepalive 32;
}`

/** Every header that the limiter believes is set or removed, or clients could speak for others. */
const question = ({ source, token }: Destination) => `location = /_quotacast {
  internal;
  proxy_pass http://quotacast/v1/auth/nginx;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_pass_request_body off;
  proxy_set_header Content-Length "";
  proxy_set_header X-Quotacast-Token "${token}";
  proxy_set_header X-Quotacast-Gateway "${source}";
  proxy_set_header X-Quotacast-Request-Id $request_id;
  proxy_set_header X-Quotacast-Consumer $quotacast_consumer;
  proxy_set_header X-Quotacast-Client-Ip $remote_addr;
  proxy_set_header X-Forwarded-Uri $request_uri;
  # Else the tenant is that of the token; one request is the cost.
  proxy_set_header X-Quotacast-Tenant "";
  proxy_set_header X-Quotacast-Cost "";
  proxy_set_header X-Quotacast-Service "";
  proxy_set_header X-Quotacast-Provider "";
  proxy_set_header X-Quotacast-Provider-Key "";
  proxy_set_header X-Quotacast-Model "";
  proxy_connect_timeout 100ms;
  proxy_read_timeout 500ms;
}
location @quotacast_denied {
  add_header Retry-After $quotacast_retry_after always;
  add_header RateLimit $quotacast_limit always;
  add_header RateLimit-Policy $quotacast_policy always;
  add_header X-Quotacast-Denied $quotacast_denied always;
  default_type application/problem+json;
  if ($quotacast_status = 429) {
    return 429 '{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Quota exceeded","status":429}';
  }
  return 403 '{"type":"about:blank","title":"Forbidden","status":403}';
}`

const asking = `auth_request /_quotacast;
auth_request_set $quotacast_answer $upstream_status;
auth_request_set $quotacast_status $upstream_http_x_quotacast_status;
auth_request_set $quotacast_asked $upstream_http_x_quotacast_consumer;
auth_request_set $quotacast_denied $upstream_http_x_quotacast_denied;
auth_request_set $quotacast_retry_after $upstream_http_retry_after;
auth_request_set $quotacast_limit $upstream_http_ratelimit;
auth_request_set $quotacast_policy $upstream_http_ratelimit_policy;
add_header RateLimit $quotacast_limit always;
error_page 403 = @quotacast_denied;`

export const nginxAsks: readonly AskingSetup[] = [
  {
    title: 'With auth_request',
    run: { by: 'tests', version: 'nginx 1.22' },
    steps: [
      {
        text: 'Put this into the block `http`, beside the format of the log, whose `map` says who calls.',
        snippet: { language: 'nginx', of: upstream },
      },
      { text: 'Put this into the block `server`.', snippet: { language: 'nginx', of: question } },
      {
        text: 'Put this into each `location` that has a `proxy_pass` and is to be limited. A 403 of the upstream itself is left as it is.',
        snippet: { language: 'nginx', of: () => asking },
      },
      {
        text: 'While the limiter is away, calls get 500. To let them pass, add `error_page 500 = @quotacast_away;` there, and to the `server` this, with the `proxy_pass` of the location.',
        snippet: {
          language: 'nginx',
          of: () => `location @quotacast_away {
  # It is there, and cannot read what the client sent.
  if ($quotacast_answer ~ "4..$") { return 400; }
  proxy_pass http://backend;
}`,
        },
      },
      {
        text: 'The id of the request, which the log has too, joins each call to its question: what is used is what the log says, once.',
      },
    ],
  },
]
