/** CloudEvents, as OpenMeter takes them. https://openmeter.io/docs/metering/events/usage-events */
import type { Guide } from './guide.ts'
import { kafkaStep } from './line-setups.ts'

export const openmeterGuide: Guide = {
  name: 'openmeter',
  title: 'CloudEvents (OpenMeter and others)',
  dialect: 'openmeter',
  ways: ['http', 'kafka', 'file'],
  setups: [
    {
      title: 'Over HTTP',
      steps: [
        {
          text: 'Send events one by one or in batches, or with their attributes as `ce-` headers:',
          snippet: {
            language: 'sh',
            of: ({ url, source, token }) => `curl -sS ${url}/v1/sources/${source} -H 'Authorization: Bearer ${token}' \\
  -H 'Content-Type: application/cloudevents-batch+json' --data-binary @- <<'JSON'
[{
  "specversion": "1.0",
  "id": "5c10fade",
  "source": "edge",
  "type": "request",
  "subject": "acme",
  "time": "2026-07-21T08:00:00.123Z",
  "data": {
    "consumer": "shop", "method": "POST", "route": "/v1/chat", "status": 200, "duration_ms": 747,
    "provider": "openai", "model": "gpt-5", "input_tokens": 210, "output_tokens": 88
  }
}]
JSON`,
          },
        },
      ],
    },
    { title: 'Through Kafka', steps: [kafkaStep({ dialect: 'openmeter' }, 'usage-events')] },
  ],
  notes: [
    'An event is a call. `id` and `source` tell it from others, so that one that comes again is counted once; `time` is its start and must be there; `subject` is the tenant, and the consumer of events that name none.',
    "`data` is read under the record's names in snake_case, the GenAI conventions, what providers call their counts, and `tokens` with a `type` of `input` or `output`. For other names describe a mapping in the config.",
    'Where each kind of tokens is an event of its own, tokens are right and the number of requests is not.',
  ],
  hints: {
    latencyMs: 'Add `duration_ms` to the data.',
    status: 'Add `status` to the data.',
    consumer: 'Add `consumer` to the data, or set `subject`.',
  },
}
