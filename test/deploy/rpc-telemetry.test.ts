import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'

const REPOSITORY = new URL('../..', import.meta.url).pathname
const TRACE_ID = '0af7651916cd43dd8448eb211c80319c'

/** Calls that fail, one after the other, on doors whose failures are logged. In a process of its own, as the SDK is the process' own. */
const SCRIPT = `
  const of = async path => import(process.argv[1] + path)
  const { startTelemetry } = await of('deploy/telemetry.ts')
  const telemetry = await startTelemetry('limiter')
  const { measureCalls } = await of('deploy/rpc-telemetry.ts')
  const { createLogger } = await of('deploy/logging.ts')
  const { openGrpcServer } = await of('analyzer/limit/grpc/server.ts')
  const { openClient } = await of('test/analyzer/limit/grpc/client.ts')
  const { setTimeout: sleep } = await import('node:timers/promises')
  const logger = createLogger({ role: 'limiter' }, 'info')
  const fail = async () => { await sleep(1); logger.info('within'); throw new Error('broken') }
  const methods = new Map([
    ['/a.B/Fail', { access: 'open', handle: fail }],
    ['/a.B/Wait', { access: 'open', handle: () => new Promise(() => undefined) }],
  ])
  const beginCall = measureCalls(telemetry.isTracing)
  const server = await openGrpcServer({ host: '127.0.0.1', port: 0 }, { methods, verify: () => null, beginCall, logger })
  const client = openClient(server.port)
  const headers = { traceparent: '00-${TRACE_ID}-b7ad6b7169203331-01' }
  for (const method of ['Fail', 'Wait', 'None']) {
    await client.raw('/a.B/' + method, Buffer.alloc(0), { headers: { ...headers, 'grpc-timeout': '50m' } })
    // Failures are told once a second.
    await sleep(1_100)
  }
  client.close()
  await server.close()
  await telemetry.close()
`

test('what is said of a gRPC call while it is traced has the ids of its trace, whatever becomes of it', async () => {
  const receiver = createServer((_request, response) => void response.end())
  await new Promise<void>(resolve => receiver.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void receiver.close())
  const endpoint = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`
  const { stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', SCRIPT, REPOSITORY], {
    cwd: REPOSITORY,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_METRICS_EXPORTER: 'none' },
  })
  const lines = stderr.split('\n').filter(line => line.includes('"role":"limiter"'))
  const said = lines.map(line => JSON.parse(line)).map(({ msg, trace_id, code }) => ({ msg, trace_id, code }))
  const failed = { msg: 'a gRPC call failed', trace_id: TRACE_ID }
  expect(said).toEqual([
    { msg: 'within', trace_id: TRACE_ID },
    { msg: 'a gRPC method threw', trace_id: TRACE_ID },
    { ...failed, code: 13 },
    { ...failed, code: 4 },
    { ...failed, code: 12 },
  ])
})
