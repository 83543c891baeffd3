/** https://docs.litellm.ai/docs/proxy/call_hooks */
import type { AskingSetup, Destination } from './guide.ts'

const hook = ({ limiterUrl, source, token }: Destination) => `import httpx
from fastapi import HTTPException
from litellm.integrations.custom_logger import CustomLogger

# What to do while nobody answers: True lets calls pass.
PASSES_WHEN_AWAY = True
TIMEOUT_SECONDS = 0.5


class Limits(CustomLogger):
    def __init__(self):
        super().__init__()
        headers = {"Authorization": "Bearer ${token}"}
        self.limiter = httpx.AsyncClient(base_url="${limiterUrl}", headers=headers, timeout=TIMEOUT_SECONDS)

    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        key = user_api_key_dict
        call = {
            "tenant": key.team_id or key.org_id,
            "consumer": key.key_alias or key.api_key,
            "requestId": data.get("litellm_call_id"),
            "maxTokens": data.get("max_completion_tokens") or data.get("max_tokens"),
            "dimensions": {"gateway": "${source}", "service": data.get("model") or "none"},
        }
        try:
            response = await self.limiter.post("/v1/reservations", json={k: v for k, v in call.items() if v is not None})
            response.raise_for_status()
        except httpx.HTTPError:
            if PASSES_WHEN_AWAY:
                return data
            raise HTTPException(status_code=503, detail="The limiter is away.")
        answer = response.json()
        if answer["allowed"]:
            return data
        headers = {"X-Quotacast-Denied": "429"}
        if answer["retryAfterMs"] is not None:
            headers["Retry-After"] = str(-(-int(answer["retryAfterMs"]) // 1000))
        raise HTTPException(status_code=429, detail=f"The quota {answer['binding']} is used up.", headers=headers)


limits = Limits()`

export const litellmAsks: readonly AskingSetup[] = [
  {
    title: 'With a call hook',
    run: { by: 'tests', version: 'LiteLLM 1.106' },
    steps: [
      {
        text: 'Write this into `quotacast_limits.py` beside `config.yaml`. What a call will take is not known before: it is learned from what such calls really cost, held, and settled by the log, whose call has the same id.',
        snippet: { language: 'python', of: hook },
      },
      {
        text: 'Name it in `config.yaml`, beside the callback of the log.',
        snippet: {
          language: 'yaml',
          of: () => `litellm_settings:
  callbacks: ["quotacast_log.calls", "quotacast_limits.limits"]`,
        },
      },
    ],
  },
]
