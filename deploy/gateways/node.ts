/** Programs in Node: what stands before their handlers, and the client behind it. */
import type { AskingSetup, Destination, Guide } from './guide.ts'

const client = ({ limiterUrl, token }: Destination) => `import { createLimiterClient } from './quotacast/client.ts'

const limiter = createLimiterClient({ url: '${limiterUrl}', token: '${token}', deadlineMs: 100, whenAway: 'allow' })`

const clientStep = {
  text: 'Copy `client.ts` and `middleware.ts` of `deploy/gateways` into the program, say into `quotacast/`. They need nothing else.',
  snippet: { language: 'typescript', of: client },
}

const callOf = (source: string) => `const callOf = request => ({
  credential: request.headers['x-api-key'],
  dimensions: { gateway: '${source}', route: request.url.split('?')[0] },
})`

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

${callOf(source)}
app.use(limitRequests({ client: limiter, callOf }))`,
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

${callOf(source)}
app.addHook('preHandler', limitHook({ client: limiter, callOf }))`,
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
try {
  const { usage } = await complete(prompt)
  if (id !== null) await limiter.settle(id, { total_tokens: usage.total_tokens })
} catch (error) {
  if (id !== null) await limiter.release(id)
  throw error
}`,
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
      title: 'Over HTTP, as records',
      steps: [
        {
          text: 'Send what was called in batches, with the `decisionId` of the answer (or the `id` of the reservation): then what is used is what the records say.',
          snippet: {
            language: 'typescript',
            of: ({ url, token }) => `await fetch('${url}/v1/calls', {
  method: 'POST',
  headers: { authorization: 'Bearer ${token}', 'content-type': 'application/json' },
  body: JSON.stringify(calls),
})`,
          },
        },
      ],
    },
  ],
  asks,
  notes: [
    'A program that only asks needs no records: what it asked is what is used, and has history and forecasts too.',
    'Without an answer within `deadlineMs`, `check` and `reserve` answer what `whenAway` says, with `isAway`. `settle`, `release` and `record` throw a `LimiterError` whose code `AWAY` says that they may be tried again.',
    'A question that makes no sense, or a token that does not hold, throws a `LimiterError` with the code `REFUSED`, whatever `whenAway` says.',
  ],
}
