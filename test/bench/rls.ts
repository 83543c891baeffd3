import protobuf from 'protobufjs/minimal.js'
import { startQuotacast } from '../e2e/quotacast.ts'
import { CONSUMERS, consumerOf, QUOTAS } from './check.ts'
import { type GrpcLoad, measureGrpc } from './grpc-load.ts'
import { type Load, printLoads, startBare } from './load.ts'
import { thousands } from './table.ts'

const CONNECTIONS = 4
const STREAMS_PER_CONNECTION = 16
const SECONDS = 8
const SHOULD_RATE_LIMIT = '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit'

/** `RateLimitRequest` with one descriptor for the consumer and one for the model, as Envoy would send them. */
function requestOf(index: number): Uint8Array {
  const { tenant, consumer } = consumerOf(index)
  const writer = protobuf.Writer.create().uint32(10).string('edge')
  for (const entries of [Object.entries({ tenant, consumer }), Object.entries({ tenant, model: 'gpt-5' })]) {
    writer.uint32(18).fork()
    for (const [key, value] of entries) {
      writer.uint32(10).fork().uint32(10).string(key).uint32(18).string(value).ldelim()
    }
    writer.ldelim()
  }
  return writer.finish()
}

/** Envoy's rate limit service beside a bare HTTP/2 server that answers at once. */
export async function benchRls(): Promise<void> {
  const many = CONNECTIONS * STREAMS_PER_CONNECTION
  process.stdout.write(
    `Rate limit service: ${thousands(CONSUMERS)} consumers, three quotas match each, two descriptors with full statuses, ${many} calls at once, load generator on the same machine\n\n`,
  )
  const messages = Array.from({ length: CONSUMERS }, (_, index) => requestOf(index))
  const measure = async (server: Pick<GrpcLoad, 'url' | 'token' | 'pids'>): Promise<[full: Load, half: Load]> => {
    const load = {
      ...{ ...server, messages, path: SHOULD_RATE_LIMIT, seconds: SECONDS },
      ...{ connections: CONNECTIONS, streamsPerConnection: STREAMS_PER_CONNECTION },
    }
    const full = await measureGrpc(load)
    return [full, await measureGrpc({ ...load, rate: full.perSecond / 2 })]
  }
  const { url, pid, stop } = await startBare('http2')
  const bare = await measure({ url, token: 'none', pids: [pid] })
  stop()
  const quotacast = await startQuotacast({ quotas: QUOTAS })
  const { token, limiterGrpcPort } = quotacast
  const server = { url: `http://127.0.0.1:${limiterGrpcPort}`, token, pids: quotacast.rolePids('limiter') }
  let ours: [full: Load, half: Load]
  try {
    ours = await measure(server)
  } finally {
    await quotacast.stop()
    quotacast.remove()
  }
  printLoads(
    [
      ['bare node:http2', ...bare],
      ['embedded: rate limit service', ...ours],
    ],
    { name: 'bare', cpuMicros: bare[0].cpuMicros },
  )
}
