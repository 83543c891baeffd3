/** https://www.krakend.io/docs/endpoints/lua/ */
import type { AskingSetup, Destination } from './guide.ts'

const endpoint = ({ limiterUrl, source, token }: Destination) =>
  JSON.stringify(
    {
      input_headers: ['X-Quotacast-Decision-Id'],
      extra_config: {
        'modifier/lua-endpoint': {
          sources: ['quotacast.lua'],
          pre: `quotacast('${limiterUrl}/v1/auth', '${token}', '${source}')`,
          live: false,
        },
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
  -- For the log, whatever the client sent under this name.
  call:headers('X-Quotacast-Decision-Id', answer:headers('X-Quotacast-Decision-Id'))
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
        text: 'Put this into each endpoint that is to be limited, beside the headers and the config that it has. The backends get the id of the decision, and their spans tell it, which joins the call to its question; keys need not be handed on.',
        snippet: { language: 'json', of: endpoint },
      },
      {
        text: 'Lua can answer with a status here, and with nothing else: clients get the 429 without `Retry-After` and without a text, which is in the log of KrakenD. While the limiter is away, calls get 500; one that takes calls and answers none holds them for as long.',
      },
      {
        text: 'The access log does not carry the id of the decision: with it what is used is the larger of what was asked and what was logged, never both.',
      },
    ],
  },
]
