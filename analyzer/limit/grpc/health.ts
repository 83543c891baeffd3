/** The standard health service, for balancers and Kubernetes. https://github.com/grpc/grpc/blob/master/doc/health-checking.md */
import type { Readiness } from '../../../collector/principal.ts'
import { createWriter, delimited, readFields, varint } from './protobuf.ts'
import { GRPC, GrpcError, type GrpcMethod, type GrpcMethods } from './rpc.ts'

const SERVICE = delimited(1)
const STATUS = varint(1)
const SERVING = 1
const NOT_SERVING = 2

/** `/package.Service/Method` without the method. */
const serviceOf = (path: string) => path.slice(1, path.lastIndexOf('/'))

/** `Check`, for the server as a whole (an empty name) and for each service of `methods`; callers need no token. */
export function createHealth(methods: GrpcMethods, readiness: () => Promise<Readiness>): [string, GrpcMethod] {
  const services = new Set(['', ...Array.from(methods.keys(), serviceOf)])
  const handle = async (message: Uint8Array) => {
    let service = ''
    readFields(message, (tag, reader) => {
      if (tag !== SERVICE) return false
      service = reader.string()
      return true
    })
    if (!services.has(service)) throw new GrpcError(GRPC.notFound, 'There is no such service.')
    const { isReady } = await readiness()
    return createWriter()
      .uint32(STATUS)
      .int32(isReady ? SERVING : NOT_SERVING)
      .finish()
  }
  return ['/grpc.health.v1.Health/Check', { access: 'open', handle }]
}
