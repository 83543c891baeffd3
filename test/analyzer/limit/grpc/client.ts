/** A real gRPC client of the doors, that of the reference library. */
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import protobuf from 'protobufjs'

const root = protobuf.loadSync(new URL('doors.proto', import.meta.url).pathname)

const METHODS = {
  shouldRateLimit: ['/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit', 'RateLimit'],
  checkRateLimit: ['/kuadrant.service.ratelimit.v1.RateLimitService/CheckRateLimit', 'RateLimit'],
  report: ['/kuadrant.service.ratelimit.v1.RateLimitService/Report', 'RateLimit'],
  check: ['/envoy.service.auth.v3.Authorization/Check', 'Check'],
  health: ['/grpc.health.v1.Health/Check', 'HealthCheck'],
} as const
export type MethodName = keyof typeof METHODS

export interface RpcAnswer {
  code: number
  details: string
  // Tests read many shapes; each asserts what it needs.
  // biome-ignore lint/suspicious/noExplicitAny: the assertions are the types here
  message: any
}

export interface RpcOptions {
  headers?: Record<string, string>
  deadlineMs?: number
}

/** On a connection of its own. */
export function openClient(port: number) {
  const options = { 'grpc.use_local_subchannel_pool': 1 }
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), options)
  const raw = (path: string, bytes: Buffer, { headers, deadlineMs }: RpcOptions = {}) =>
    new Promise<{ code: number; details: string; bytes: Buffer | undefined }>(resolve => {
      const metadata = new Metadata()
      for (const [name, value] of Object.entries(headers ?? { 'x-quotacast-token': 'gateway' }))
        metadata.set(name, value)
      const asItIs = (message: Buffer) => message
      const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs }
      client.makeUnaryRequest(path, asItIs, asItIs, bytes, metadata, options, (error: ServiceError | null, answer) =>
        resolve({ code: error?.code ?? status.OK, details: error?.details ?? '', bytes: answer }),
      )
    })
  return {
    raw,
    async call(method: MethodName, request: object, options?: RpcOptions): Promise<RpcAnswer> {
      const [path, name] = METHODS[method]
      const type = root.lookupType(`doors.${name}Request`)
      const sent = Buffer.from(type.encode(type.fromObject(request)).finish())
      const { code, details, bytes } = await raw(path, sent, options)
      const response = root.lookupType(`doors.${name}Response`)
      const message =
        bytes && response.toObject(response.decode(bytes), { defaults: true, longs: Number, bytes: String })
      return { code, details, message }
    },
    close: () => client.close(),
  }
}
export type TestClient = ReturnType<typeof openClient>

/** A descriptor by its entries. */
export const descriptor = (entries: Record<string, string>, fields: object = {}) => ({
  entries: Object.entries(entries).map(([key, value]) => ({ key, value })),
  ...fields,
})
