/** LiteLLM Proxy. https://docs.litellm.ai/docs/observability/generic_api */

import type { Destination, Guide } from './guide.ts'
import { litellmAsks } from './litellm-asks.ts'

const callback = ({ url, source, token }: Destination) => `import asyncio
from collections import deque

import httpx
from litellm.integrations.custom_logger import CustomLogger
from litellm.litellm_core_utils.safe_json_dumps import safe_dumps

# While Quotacast is away so many calls wait; then the oldest are forgotten.
WAITING_MAX = 20_000
BATCH_MAX = 50
RETRY_SECONDS = 1
TIMEOUT_SECONDS = 10


class Calls(CustomLogger):
    def __init__(self):
        super().__init__()
        headers = {"Authorization": "Bearer ${token}", "Content-Type": "application/x-ndjson"}
        self.collector = httpx.AsyncClient(base_url="${url}", headers=headers, timeout=TIMEOUT_SECONDS)
        self.waiting = deque(maxlen=WAITING_MAX)
        self.sending = None

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        self.waiting.append(safe_dumps(kwargs.get("standard_logging_object")))
        if self.sending is None or self.sending.done():
            self.sending = asyncio.create_task(self.send())

    async_log_failure_event = async_log_success_event

    async def send(self):
        while self.waiting:
            batch = [self.waiting.popleft() for _ in range(min(BATCH_MAX, len(self.waiting)))]
            while not await self.is_taken("\\n".join(batch)):
                await asyncio.sleep(RETRY_SECONDS)

    async def is_taken(self, lines):
        try:
            response = await self.collector.post("/v1/sources/${source}", content=lines)
        except httpx.HTTPError:
            return False
        # Too large is never taken.
        return response.is_success or response.status_code == 413


calls = Calls()`

export const litellmGuide: Guide = {
  name: 'litellm',
  title: 'LiteLLM Proxy',
  dialect: 'litellm',
  ways: ['http', 'otlp'],
  setups: [
    {
      title: 'Over HTTP, with a callback',
      steps: [
        {
          text: 'Write this into `quotacast_log.py` beside `config.yaml`. It tells of each call when it has ended, and sends again what could not be sent; only what it holds when LiteLLM stops is lost.',
          snippet: { language: 'python', of: callback },
        },
        {
          text: 'Name it in `config.yaml`. Prompts and answers stay at home.',
          snippet: {
            language: 'yaml',
            of: () => `litellm_settings:
  callbacks: ["quotacast_log.calls"]
  turn_off_message_logging: true`,
          },
        },
      ],
    },
    {
      title: 'Over HTTP, with the callback generic_api of LiteLLM, which loses calls',
      steps: [
        {
          text: 'Where no file can be put beside `config.yaml`. LiteLLM forgets a batch that could not be sent, and all calls that end while it sends one: what is used is then more than what is counted.',
          snippet: {
            language: 'yaml',
            of: ({ url, source, token }) => `litellm_settings:
  callbacks: ["quotacast"]
  turn_off_message_logging: true

callback_settings:
  quotacast:
    callback_type: generic_api
    endpoint: ${url}/v1/sources/${source}
    headers:
      Authorization: Bearer ${token}
      Content-Type: application/json
    log_format: json_array`,
          },
        },
        {
          text: 'In the environment of the proxy: each call is sent when it ends, together with those that are under way, so that none is forgotten because it ended meanwhile. It holds for all callbacks that send batches. What could not be sent is lost all the same.',
          snippet: { language: 'sh', of: () => 'DEFAULT_BATCH_SIZE=1' },
        },
      ],
    },
    {
      title: 'With OpenTelemetry',
      steps: [
        {
          text: 'OpenTelemetry sends again for a minute what could not be sent. A call whose spans come in two batches counts twice: where that matters let a Collector with `groupbytrace` stand between, as `quotacast sources show otlp` has it. `pip install opentelemetry-api opentelemetry-sdk opentelemetry-exporter-otlp`, then in `config.yaml`:',
          snippet: {
            language: 'yaml',
            of: () => `litellm_settings:
  callbacks: ["otel"]
  turn_off_message_logging: true`,
          },
        },
        {
          text: 'and in the environment of the proxy:',
          snippet: {
            language: 'sh',
            of: ({ url, source, token }) => `OTEL_EXPORTER_OTLP_ENDPOINT=${url}/v1/sources/${source}
OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
OTEL_EXPORTER_OTLP_HEADERS=x-quotacast-token=${token}
OTEL_SERVICE_NAME=litellm`,
          },
        },
      ],
    },
  ],
  asks: litellmAsks,
  notes: [
    'Use one of these ways, not several.',
    "`consumer` is the alias of the virtual key, else LiteLLM's hash of it; list the hash in `keys` to give it a name. The team, else the organisation, is the tenant; the deployment (`model_id`) is the `providerKey`.",
    'LiteLLM does not log bytes, and the method never; failed calls have no tokens. Cost is in US dollars.',
    'A budget or rate limit of the proxy is `limited`; what the provider refused for want of quota is `exhausted`, as is a call for which all deployments were resting.',
    'An answer from the cache has the tokens of the first one and costs 0; its label `cache` is `hit`.',
  ],
  hints: {
    consumer: 'Give virtual keys an alias (`key_alias`), and let callers use virtual keys.',
    tenant: 'Put virtual keys into teams (`team_id`) or organisations.',
    route: 'Newer versions of LiteLLM log the route; before, it is the kind of call.',
    upstreamLimits: 'Only providers that send `x-ratelimit-` headers have limits.',
  },
}
