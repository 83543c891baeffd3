/** All ways in of the collector over a real log, behind the real HTTP server. */
import type { FastifyInstance } from 'fastify'
import type { CallLog } from '../../../collector/log/call-log.ts'
import type { MappingOptions } from '../../../collector/normalize/mapping.ts'
import type { BeginCall, Principal, Scope } from '../../../collector/principal.ts'
import { openReceiving, type Receiving, type ReceivingOptions } from '../../../collector/receive/receiving.ts'
import { createSources, type SourceOptions } from '../../../collector/receive/sources.ts'
import { createServer } from '../../../deploy/http.ts'
import { principalOf } from '../../../deploy/http-access.ts'
import { freePorts } from '../../free-ports.ts'
import { normalizerFor } from '../normalize/normalizer.ts'
import { logger, openTestLog, type TestLog } from './fixture.ts'

export const NOW_MS = 1_784_620_805_000
export const LIMITS: Omit<ReceivingOptions, 'grpc'> = {
  bodyBytesMax: 100_000,
  decompressedBytesMax: 1_000_000,
  requestCallsMax: 5000,
  inFlightBytesMax: 2_000_000,
}
const PRINCIPALS: Record<string, { tenant: string | null; scopes: Scope[] }> = {
  all: { tenant: null, scopes: ['ingest'] },
  acme: { tenant: 'acme', scopes: ['ingest'] },
  reader: { tenant: null, scopes: ['read'] },
}

const verify = (name: string): Principal | null => {
  const found = PRINCIPALS[name]
  return found === undefined ? null : { name, tenant: found.tenant, scopes: new Set(found.scopes) }
}

export interface Receiver {
  receiving: Receiving
  server: FastifyInstance
  testLog: TestLog
  grpcPort: number
  post(
    url: string,
    body: unknown,
    options?: { token?: string; headers?: Record<string, string> },
  ): Promise<{ status: number; headers: Record<string, unknown>; body: Record<string, unknown>; bytes: Buffer }>
  close(): Promise<void>
}

export interface ReceiverOptions {
  limits?: Partial<ReceivingOptions>
  log?: Partial<CallLog>
  sources?: Record<string, Partial<SourceOptions[string]>>
  mappings?: MappingOptions
  /** Whether the token of that name still holds. */
  isValid?: (name: string) => boolean
  beginCall?: BeginCall
}

export async function openReceiver({
  limits = {},
  log = {},
  sources = {},
  mappings = {},
  isValid = () => true,
  beginCall,
}: ReceiverOptions = {}): Promise<Receiver> {
  const testLog = await openTestLog()
  const [grpcPort = 0] = await freePorts(1)
  const whole = Object.entries(sources).map(([name, source]) => [
    name,
    { timezone: 'UTC', receive: { kind: 'http' }, ...source },
  ])
  const receiving = openReceiving({
    options: { ...LIMITS, grpc: { host: '127.0.0.1', port: grpcPort }, ...limits },
    log: { ...testLog.log, ...log },
    normalizer: normalizerFor({ mappings, clientIp: 'full' }),
    sources: createSources(Object.fromEntries(whole), mappings),
    ...{ principalOf, dir: testLog.dir, logger, beginCall },
    verify: name => (isValid(name) ? verify(name) : null),
    now: () => NOW_MS,
  })
  const server = await createServer({
    role: 'collector',
    version: '0',
    log: logger,
    routes: receiving.routes,
    verify,
    readiness: async () => ({ isReady: true, reasons: receiving.readiness() }),
    metrics: async () => '',
    isTracing: false,
  })
  return {
    ...{ receiving, server, testLog, grpcPort },
    async post(url, body, { token = 'all', headers = {} } = {}) {
      const isRaw = typeof body === 'string' || Buffer.isBuffer(body)
      const response = await server.inject({
        method: 'POST',
        url,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
        payload: isRaw ? body : JSON.stringify(body),
      })
      const bytes = response.rawPayload
      const isJson = String(response.headers['content-type']).includes('json')
      return { status: response.statusCode, headers: response.headers, bytes, body: isJson ? response.json() : {} }
    },
    async close() {
      await server.close()
      await receiving.close()
      await testLog.close()
    },
  }
}
