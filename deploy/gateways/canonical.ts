/** Whatever can send JSON over HTTP, in the words of the record itself. */
import type { Guide } from './guide.ts'

export const canonicalGuide: Guide = {
  name: 'canonical',
  title: "Quotacast's own JSON",
  dialect: 'canonical',
  ways: ['http', 'file', 'kafka'],
  setups: [
    {
      title: 'Over HTTP',
      steps: [
        {
          text: 'Send one object, an array, or one object a line, compressed or not. The answer says which calls are durable and why others are not.',
          snippet: {
            language: 'sh',
            of: ({ url, source, token }) => `curl -sS ${url}/v1/sources/${source} \\
  -H 'Authorization: Bearer ${token}' \\
  -H 'Content-Type: application/x-ndjson' \\
  --data-binary @- <<'JSON'
{"requestId":"7c1e","startedAtMs":1795275300450,"gateway":"edge","tenant":"acme","credential":"the raw key","method":"POST","route":"/v1/chat","status":200,"latencyMs":812.5,"inputTokens":1200,"outputTokens":300}
JSON`,
          },
        },
      ],
    },
  ],
  notes: [
    'Every field but `startedAtMs` may be left out; unknown is absent, not 0. `/openapi.json` of the collector describes them all.',
    'A raw key belongs into `credential` and nowhere else: it becomes a fingerprint before anything is queued or stored.',
    'Send a batch again after a failure, byte for byte: what has arrived is not counted again.',
  ],
}
