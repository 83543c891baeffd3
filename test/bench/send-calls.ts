/**
 * A sender of call records in a process of its own: `node send-calls.ts URL TOKEN RECORDS BATCH IN_FLIGHT`. Prints
 * `{"ms", "acknowledged"}` when the last batch was answered. Bodies are made beforehand, so that what is timed is sending.
 */
import { Agent, request } from 'node:http'

const [url = '', token = '', records = '0', batch = '0', inFlight = '0'] = process.argv.slice(2)
const MODELS = ['gpt-5', 'gpt-5-mini', 'claude-sonnet-5', 'gemini-3-pro'] as const
const CONSUMERS = 10_000
const TENANTS = 20

function makeBody(first: number, size: number, startMs: number): Buffer {
  const calls = Array.from({ length: size }, (_, index) => {
    const number = first + index
    const consumer = (number * 7919) % CONSUMERS
    return {
      requestId: `bench-${startMs}-${number}`,
      startedAtMs: startMs - (number % 60_000),
      tenant: `tenant-${consumer % TENANTS}`,
      consumer: `consumer-${consumer}`,
      gateway: 'bench',
      method: 'POST',
      host: 'gateway.example',
      route: '/v1/chat/completions',
      service: 'llm',
      provider: 'openai',
      model: MODELS[number % MODELS.length],
      status: number % 50 === 0 ? 429 : 200,
      latencyMs: 300 + (number % 900),
      upstreamLatencyMs: 280 + (number % 900),
      requestBytes: 2048,
      responseBytes: 4096,
      inputTokens: 100 + (number % 2000),
      outputTokens: 20 + (number % 300),
    }
  })
  return Buffer.from(JSON.stringify(calls))
}

const agent = new Agent({ keepAlive: true, maxSockets: Number(inFlight) })

function send(body: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      `${url}/v1/calls`,
      {
        method: 'POST',
        agent,
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'content-length': body.length,
        },
      },
      response => {
        let text = ''
        response.on('data', chunk => {
          text += chunk
        })
        response.on('end', () =>
          response.statusCode === 200
            ? resolve(JSON.parse(text).accepted)
            : reject(new Error(`${response.statusCode} ${text}`)),
        )
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

const startMs = Date.now()
const bodies = Array.from({ length: Math.ceil(Number(records) / Number(batch)) }, (_, index) =>
  makeBody(index * Number(batch), Number(batch), startMs),
)
let next = 0
let acknowledged = 0
const sender = async () => {
  for (let body = bodies[next++]; body !== undefined; body = bodies[next++])
    await send(body).then(accepted => {
      acknowledged += accepted
    })
}
const begin = performance.now()
process.stdout.write(`${JSON.stringify({ beginMs: Date.now() })}\n`)
await Promise.all(Array.from({ length: Number(inFlight) }, sender))
process.stdout.write(`${JSON.stringify({ ms: performance.now() - begin, acknowledged })}\n`)
agent.destroy()
