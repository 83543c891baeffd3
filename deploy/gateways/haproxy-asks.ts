/** HAProxy has no forward-auth: an action in Lua asks with its HTTP client (2.5 and later). */
import type { AskingSetup, Destination } from './guide.ts'

const script = ({
  limiterUrl,
  source,
  token,
}: Destination) => `-- What to do while nobody answers: true lets calls pass.
local PASSES_WHEN_AWAY = true
local TIMEOUT_MS = 500
local PASSED_ON = { "retry-after", "ratelimit", "ratelimit-policy", "content-type", "x-quotacast-denied" }

core.register_action("quotacast", { "http-req" }, function(txn)
  local headers = {
    ["x-quotacast-token"] = { "${token}" },
    ["x-quotacast-gateway"] = { "${source}" },
    ["x-forwarded-uri"] = { txn.sf:url() },
    ["x-quotacast-client-ip"] = { txn.sf:src() },
  }
  local function tell(name, value)
    if value and value ~= "" then headers[name] = { value } end
  end
  tell("x-quotacast-request-id", txn.sf:unique_id())
  tell("x-quotacast-consumer", txn:get_var("txn.quotacast_consumer"))
  -- All of a name, and whole: of several the limiter could not tell which one your backend takes, and says so.
  local sent = txn.http:req_get_headers()
  for _, name in ipairs({ "authorization", "x-api-key" }) do headers[name] = sent[name] end

  local answer = core.httpclient():get{ url = "${limiterUrl}/v1/auth", timeout = TIMEOUT_MS, headers = headers }
  local isAway = not answer or answer.status == 0 or answer.status >= 500
  -- For the log, where no name was found for the key.
  local consumer = not isAway and answer.headers["x-quotacast-consumer"]
  if consumer then txn:set_var("txn.quotacast_consumer", consumer[0]) end
  if isAway and PASSES_WHEN_AWAY or not isAway and answer.status == 200 then return end
  local reply = txn:reply{ status = isAway and 503 or answer.status, body = not isAway and answer.body or "" }
  for _, name in ipairs(PASSED_ON) do
    local values = not isAway and answer.headers[name]
    if values then
      reply:add_header(name, values[0])
      -- For the log, which rules for answers of servers do not reach.
      txn:set_var("txn.quotacast_" .. name:gsub("-", "_"), values[0])
    end
  end
  txn:done(reply)
end)`

const GLOBAL = `lua-load /etc/haproxy/quotacast.lua
.if version_atleast(2.8)
  httpclient.retries 0
  httpclient.timeout.connect 500
.endif`

export const haproxyAsks: readonly AskingSetup[] = [
  {
    title: 'With an action in Lua',
    run: { by: 'tests', version: 'HAProxy 2.6' },
    steps: [
      { text: 'Write this into `/etc/haproxy/quotacast.lua`.', snippet: { language: 'lua', of: script } },
      {
        text: 'Put this into the section `global`. HAProxy 2.8 and later is told in it not to ask again. Earlier ones do so three times: while nobody listens a call waits for 3 seconds, and while the limiter does not answer for four times `TIMEOUT_MS`, and it counts four times when the limiter goes on.',
        snippet: { language: 'haproxy', of: () => GLOBAL },
      },
      {
        text: 'Put this into the `frontend`, behind the lines of its log: they set the id of the call, which joins it to its question, and who calls.',
        snippet: { language: 'haproxy', of: () => 'http-request lua.quotacast' },
      },
    ],
  },
]
