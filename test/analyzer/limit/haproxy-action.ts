/** A Lua action that asks at `url` and lets calls pass while nobody answers there. */
export const HAPROXY_ACTION = (url: string): string => `
local PASSED_ON = { "retry-after", "ratelimit", "ratelimit-policy", "content-type" }

core.register_action("quotacast", { "http-req" }, function(txn)
  local answer = core.httpclient():get{
    url = "${url}",
    timeout = 2000,
    headers = {
      ["x-quotacast-token"] = { "gateway" },
      ["x-quotacast-tenant"] = { "acme" },
      ["x-quotacast-consumer"] = { txn.sf:req_hdr("x-consumer") },
      ["x-forwarded-uri"] = { txn.sf:url() },
      ["x-forwarded-for"] = { txn.sf:src() },
    },
  }
  if not answer or answer.status == 0 or answer.status >= 500 then return end
  if answer.status == 200 then return end
  local reply = txn:reply{ status = answer.status, body = answer.body }
  for _, name in ipairs(PASSED_ON) do
    local values = answer.headers[name]
    if values then reply:add_header(name, values[0]) end
  end
  txn:done(reply)
end)
`
