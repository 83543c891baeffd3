/** The gRPC doors of the limiter, all of them on one port. */
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import type { Identity } from '../../../collector/identity.ts'
import type { BeginCall, Principal, Readiness } from '../../../collector/principal.ts'
import { UNITS } from '../../usage/units.ts'
import { type CallerOptions, createCallerReader } from '../caller.ts'
import type { DecisionIds } from '../decision-id.ts'
import type { QuotaHeaders } from '../door-answer.ts'
import type { Limiter } from '../limiter.ts'
import { DescriptorOptions, type DescriptorReaderDeps } from './descriptors.ts'
import { createExtAuthzMethod, joinedCredentials } from './ext-authz.ts'
import { createHealth } from './health.ts'
import { createRateLimitMethods } from './rate-limit-service.ts'
import { type GrpcServer, openGrpcServer } from './server.ts'

export const GrpcOptions = Type.Object(
  {
    host: Type.String({ default: '127.0.0.1', minLength: 1, description: 'Address to listen on.' }),
    port: Type.Integer({ default: 7413, minimum: 1, maximum: 65_535, description: 'Port to listen on.' }),
    limitsIn: Type.Enum(['statuses', 'headers'], {
      default: 'statuses',
      description:
        'How the rate limit service tells limits: in the statuses of descriptors, of which Envoy makes headers when ' +
        'told to (`enable_x_ratelimit_headers`), or in header fields of our own.',
    }),
    descriptors: DescriptorOptions,
    reportUnit: Type.Enum(UNITS, {
      default: 'total_tokens',
      description: "What Kuadrant's `Report` counts where no entry of a descriptor says its unit.",
    }),
  },
  {
    additionalProperties: false,
    default: {},
    description:
      "Envoy's rate limit service and ext_authz, and Kuadrant's rate limit service, over gRPC, not encrypted.",
  },
)
export type GrpcOptions = Static<typeof GrpcOptions>

export interface GrpcDeps extends Omit<DescriptorReaderDeps, 'options' | 'who'> {
  options: GrpcOptions
  /** Other processes of this machine listen on the port, too. */
  isPortShared?: boolean
  limiter: Limiter
  decisionIds: DecisionIds
  quotaHeaders: QuotaHeaders
  callers: Pick<CallerOptions, 'rateLimitService' | 'extAuthz'>
  identity: Identity
  /** Whose token it is, or `null`. */
  verify: (token: string) => Principal | null
  /** Why the limiter cannot do its work now; empty when it can. */
  readiness: () => Promise<Readiness>
  /** Left out where nobody measures calls. */
  beginCall?: BeginCall | undefined
  logger: Logger
}

/** Listens; rejects when it cannot. */
export function openGrpc(deps: GrpcDeps): Promise<GrpcServer> {
  const { options, callers, identity, quotaHeaders, isPortShared = false, ...rest } = deps
  const hasLimitsInStatuses = options.limitsIn === 'statuses'
  const methods = new Map([
    ...createRateLimitMethods({
      ...rest,
      options: options.descriptors,
      reportUnit: options.reportUnit,
      who: callers.rateLimitService,
      readCaller: createCallerReader(callers.rateLimitService, identity),
      hasLimitsInStatuses,
      quotaHeaders: hasLimitsInStatuses ? () => ({}) : quotaHeaders,
    }),
    createExtAuthzMethod({
      ...rest,
      readCaller: createCallerReader(callers.extAuthz, identity, joinedCredentials),
      quotaHeaders,
    }),
  ])
  methods.set(...createHealth(methods, deps.readiness))
  const { host, port } = options
  const { verify, beginCall, logger } = deps
  return openGrpcServer({ host, port, isPortShared }, { methods, verify, beginCall, logger })
}
