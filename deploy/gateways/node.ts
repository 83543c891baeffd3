/** Programs in Node: what stands before their handlers, and the client behind it. */
import type { AskingSetup, Destination, Guide } from './guide.ts'

const client = ({ limiterUrl, token }: Destination) => `import { createLimiterClient } from './quotacast/client.ts'

const limiter = createLimiterClient({ url: '${limiterUrl}', token: '${token}', deadlineMs: 100, whenAway: 'allow' })`

const clientStep = {
  text: 'Copy `client.ts` and `middleware.ts` of `deploy/gateways` into the program, say into `quotacast/`. They need no package, but Node 22.18 or newer, which runs TypeScript, or a compiler; and `"type": "module"` in the `package.json` of the program.',
  snippet: { language: 'typescript', of: client },
}

/** Written so that it is JavaScript, and strict TypeScript too. */
const options = (source: string) => `{
  client: limiter,
  callOf: request => ({
    credential: request.headers['x-api-key']?.toString(),
    dimensions: { gateway: '${source}', route: request.url?.split('?')[0] },
  }),
}`

/** A record, but for when it began, and how long it took. */
const recordFields = (source: string) => `requestId: crypto.randomUUID(),
    gateway: '${source}',
    credential: request.headers['x-api-key']?.toString(),
    method: request.method,
    decisionId: request.headers['x-quotacast-decision-id'],`

const sendStep = {
  text: 'Send what was called, once a second. What comes again is counted once; what is not sent when the program ends is not counted.',
  snippet: {
    language: 'typescript',
    of: ({ url, token }: Destination) => `setInterval(async () => {
  const batch = calls.splice(0, 1000)
  if (batch.length === 0) return
  const response = await fetch('${url}/v1/calls', {
    method: 'POST',
    headers: { authorization: 'Bearer ${token}', 'content-type': 'application/json' },
    body: JSON.stringify(batch),
  }).catch(() => null)
  // Nobody is there, or the log is full: the next time, unless too many wait.
  if ((response === null || response.status >= 500) && calls.length < 100_000) calls.unshift(...batch)
  else if (!response?.ok) console.error('Quotacast did not take the calls:', await response?.text())
}, 1000).unref()`,
  },
}

const asks: readonly AskingSetup[] = [
  {
    title: 'Express, and whatever has its middleware',
    run: { by: 'tests', version: 'Node 24' },
    steps: [
      clientStep,
      {
        text: 'Before the handlers that are to be limited:',
        snippet: {
          language: 'typescript',
          of: ({ source }) => `import { limitRequests } from './quotacast/middleware.ts'

app.use(limitRequests(${options(source)}))`,
        },
      },
    ],
  },
  {
    title: 'Fastify',
    run: { by: 'tests', version: 'Fastify 5' },
    steps: [
      clientStep,
      {
        text: 'In the scope that is to be limited:',
        snippet: {
          language: 'typescript',
          of: ({ source }) => `import { limitHook } from './quotacast/middleware.ts'

app.addHook('preHandler', limitHook(${options(source)}))`,
        },
      },
    ],
  },
  {
    title: 'Calls whose cost is known afterwards',
    run: { by: 'tests', version: 'Node 24' },
    steps: [
      {
        text: 'Hold what a call may take, and settle what it took. What is not stated is learned from what such calls really cost.',
        snippet: {
          language: 'typescript',
          of: () => `const { allowed, id } = await limiter.reserve({ consumer: 'chat-app', maxTokens: 1000 })
if (!allowed) throw new Error('The quota is used up.')
let cost
try {
  const { usage } = await complete(prompt)
  cost = { total_tokens: usage.total_tokens }
} catch (error) {
  if (id !== null) await limiter.release(id).catch(console.error)
  throw error
}
// The call was made, whether the limiter is there to hear of it or not.
if (id !== null) await limiter.settle(id, cost).catch(console.error)`,
        },
      },
    ],
  },
]

export const nodeGuide: Guide = {
  name: 'node',
  title: 'Node programs (Express, Fastify)',
  dialect: 'canonical',
  ways: ['http'],
  setups: [
    {
      title: 'Over HTTP, as records of Express',
      steps: [
        {
          text: 'Remember what was called, before all else that answers. The header is set where the limiter is asked as below; what a model said of its tokens may be added (`provider`, `model`, `inputTokens`, `outputTokens`).',
          snippet: {
            language: 'typescript',
            of: ({ source }) => `const calls = new Array()
app.use((request, response, next) => {
  // Only the limiter says what a call was asked with.
  delete request.headers['x-quotacast-decision-id']
  const startedAtMs = Date.now()
  const route = request.url.split('?')[0]
  response.once('close', () => calls.push({
    startedAtMs,
    latencyMs: Date.now() - startedAtMs,
    route,
    status: response.statusCode,
    ${recordFields(source)}
  }))
  next()
})`,
          },
        },
        sendStep,
      ],
    },
    {
      title: 'Over HTTP, as records of Fastify',
      steps: [
        {
          text: 'Remember what was called, in the scope of all routes. The header is set where the limiter is asked as below; what a model said of its tokens may be added (`provider`, `model`, `inputTokens`, `outputTokens`).',
          snippet: {
            language: 'typescript',
            of: ({ source }) => `const calls = new Array()
app.addHook('onRequest', async request => {
  // Only the limiter says what a call was asked with.
  delete request.headers['x-quotacast-decision-id']
})
app.addHook('onResponse', async (request, reply) => {
  calls.push({
    startedAtMs: Math.round(Date.now() - reply.elapsedTime),
    latencyMs: reply.elapsedTime,
    route: request.url.split('?')[0],
    status: reply.statusCode,
    ${recordFields(source)}
  })
})`,
          },
        },
        sendStep,
      ],
    },
  ],
  asks,
  notes: [
    'What tells callers and calls apart (`tenant`, `consumer` or `credential`, and the dimensions of quotas) has to be the same in the record and in the question: the record takes back what its question spent, and spends from the quotas that it matches itself.',
    'A program that only asks needs no records: what it asked is what is used, and has history and forecasts too.',
    'Without an answer within `deadlineMs`, `check` and `reserve` answer what `whenAway` says, with `isAway`. `settle`, `release` and `record` throw a `LimiterError` whose code `AWAY` says that they may be tried again.',
    'A question that makes no sense, or a token that does not hold, throws a `LimiterError` with the code `REFUSED`, whatever `whenAway` says.',
  ],
}
