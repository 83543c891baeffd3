/** https://developer.konghq.com/plugins/post-function/ */
import type { AskingSetup, Destination } from './guide.ts'

const access = ({ limiterUrl, source, token }: Destination) => `_format_version: '3.0'
plugins:
  - name: post-function
    config:
      access:
        - |
          local http = require "resty.http"
          -- What to do while nobody answers: true lets calls pass.
          local PASSES_WHEN_AWAY = true
          local PASSED_ON = { "Content-Type", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Quotacast-Denied" }
          return function()
            -- The log tells it whatever becomes of the call: no client may choose it.
            kong.service.request.clear_header("X-Quotacast-Decision-Id")
            local consumer = kong.client.get_consumer()
            local client = http.new()
            client:set_timeouts(100, 200, 500)
            local answer, problem = client:request_uri("${limiterUrl}/v1/auth", {
              keepalive_timeout = 60000,
              keepalive_pool = 64,
              headers = {
                ["X-Quotacast-Token"] = "${token}",
                ["X-Quotacast-Gateway"] = "${source}",
                ["X-Quotacast-Consumer"] = consumer and (consumer.username or consumer.custom_id or consumer.id),
                ["X-Quotacast-Client-Ip"] = kong.client.get_forwarded_ip(),
                ["X-Forwarded-Uri"] = kong.request.get_path(),
                ["Authorization"] = kong.request.get_header("Authorization"),
                ["X-Api-Key"] = kong.request.get_header("X-Api-Key"),
                ["apikey"] = kong.request.get_header("apikey"),
              },
            })
            if not answer or answer.status >= 500 then
              kong.log.warn("the limiter is away: ", problem or answer.status)
              if PASSES_WHEN_AWAY then return end
              return kong.response.exit(503)
            end
            if answer.status == 200 then
              local decision = answer.headers["X-Quotacast-Decision-Id"]
              if decision then kong.service.request.set_header("X-Quotacast-Decision-Id", decision) end
              kong.ctx.plugin.limit = answer.headers["RateLimit"]
              return
            end
            local headers = {}
            for _, name in ipairs(PASSED_ON) do headers[name] = answer.headers[name] end
            return kong.response.exit(answer.status, answer.body, headers)
          end
      header_filter:
        - |
          if kong.ctx.plugin.limit then kong.response.set_header("RateLimit", kong.ctx.plugin.limit) end`

export const kongAsks: readonly AskingSetup[] = [
  {
    title: 'With the post-function plugin',
    run: { by: 'nobody' },
    steps: [
      {
        text: 'Let functions load the HTTP client, in `kong.conf`:',
        snippet: { language: 'ini', of: () => 'untrusted_lua_sandbox_requires = resty.http' },
      },
      {
        text: 'Add the plugin globally, for a service or for a route. It runs behind the authentication plugins, so the consumer is known as the log names it.',
        snippet: { language: 'yaml', of: access },
      },
      {
        text: 'The log tells the header `X-Quotacast-Decision-Id` of the request, which joins a call to its question.',
      },
    ],
  },
]
