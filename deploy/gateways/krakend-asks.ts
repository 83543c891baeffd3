/** https://www.krakend.io/docs/endpoints/lua/ */
import type { AskingSetup, Destination } from './guide.ts'

const endpoint = ({ limiterUrl, source, token }: Destination) =>
  JSON.stringify(
    {
      'modifier/lua-endpoint': {
        sources: ['quotacast.lua'],
        pre: `quotacast('${limiterUrl}/v1/auth', '${token}', '${source}')`,
        live: false,
      },
    },
    null,
    2,
  )

const SCRIPT = `function quotacast(url, token, gateway)
  local call = ctx.load()
  local answer = http_response.new(url, 'GET', '', {
    ['X-Quotacast-Token'] = token,
    ['X-Quotacast-Gateway'] = gateway,
    ['X-Forwarded-Uri'] = call:url(),
    ['Authorization'] = call:headers('Authorization'),
    ['X-Api-Key'] = call:headers('X-Api-Key')
  })
  local status = answer:statusCode()
  local body = answer:body()
  answer:close()
  if status ~= 200 then
    custom_error(body, status, 'application/problem+json')
  end
end`

export const krakendAsks: readonly AskingSetup[] = [
  {
    title: 'With Lua',
    run: { by: 'nobody' },
    steps: [
      {
        text: 'Write this into `quotacast.lua` beside `krakend.json`.',
        snippet: { language: 'lua', of: () => SCRIPT },
      },
      {
        text: 'Put this into `extra_config` of each endpoint that is to be limited, with `Authorization` and `X-Api-Key` among its `input_headers`.',
        snippet: { language: 'json', of: endpoint },
      },
      {
        text: 'Lua can answer with a status and a body, and not with header fields: clients get the 429 without `Retry-After`, which is in the text of the problem. While the limiter is away, calls get 500.',
      },
      {
        text: 'Neither spans nor the access log carry the id of the decision, so that what is used is the larger of what was asked and what was logged, never both.',
      },
    ],
  },
]
