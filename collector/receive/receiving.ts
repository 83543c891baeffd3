/** All ways into the collector, put together: what they share, the routes, and the ports that are theirs. */
import { getHeapStatistics } from 'node:v8'
import type { Logger } from 'pino'
import Type, { type Static } from 'typebox'
import type { CallLog } from '../log/call-log.ts'
import type { Normalizer } from '../normalize/normalize.ts'
import type { BeginCall, Principal, PrincipalOf, Routes } from '../principal.ts'
import { createEnvoyMethod } from './envoy-als.ts'
import { createFlight, createTurns, type Turns } from './flight.ts'
import { GrpcOptions, openGrpc } from './grpc.ts'
import { createCallRoutes } from './http.ts'
import { createIntake, type Intake } from './intake.ts'
import { type ListeningSource, openListeners } from './listeners.ts'
import { createOtlpMethods } from './otlp-grpc.ts'
import { createOtlpRoutes } from './otlp-routes.ts'
import { createRequestBodies, ReceiveOptions } from './request-body.ts'
import { createSourceRoutes } from './source-routes.ts'
import { createSourceStatusRoutes } from './source-status.ts'
import type { ConfiguredSource, Sources } from './sources.ts'
import { createSplunkRoutes } from './splunk-routes.ts'

/** Of memory that JavaScript uses or has left behind. Bodies of up to 4 MiB, one after the other, do not come to it. */
const GARBAGE_BYTES_MAX = 112 * 2 ** 20

/** Bounds of all ways in, and where the gRPC port is; part of the config section `collector`. */
export const ReceivingOptions = Type.Object(
  { ...ReceiveOptions.properties, grpc: GrpcOptions },
  { additionalProperties: false },
)
export type ReceivingOptions = Static<typeof ReceivingOptions>

export interface ReceivingDeps {
  options: ReceivingOptions
  log: CallLog
  normalizer: Normalizer
  sources: Sources
  principalOf: PrincipalOf
  /** Whose token it is, or `null`. */
  verify: (token: string) => Principal | null
  /** Left out where nobody measures calls. */
  beginCall?: BeginCall | undefined
  /** Folder of what is remembered of files that are followed. */
  dir: string
  logger: Logger
  now: () => number
}

export interface Receiving {
  routes: Routes[]
  intake: Intake
  /** Why calls do not come in by some way; empty when all is well. */
  readiness(): string[]
  /** Ends what brings calls by itself; requests must have ended before. */
  close(): Promise<void>
}

/** Opens the ports and answers at once, whether or not they can be listened on yet. */
export function openReceiving(deps: ReceivingDeps): Receiving {
  const { options: limits, log, normalizer, sources, principalOf, verify, dir, logger, now } = deps
  const intake = createIntake({ log, normalizer, logger, now })
  const flight = createFlight(limits.inFlightBytesMax)
  const inTurn = createTurns(1)
  const handlingLarge: Turns = act => inTurn(() => act().finally(collectGarbage))
  const shared = { log, intake, principalOf, limits, flight, handlingLarge, logger }
  const bodies = createRequestBodies(shared, 'http')
  const grpc = openGrpc({
    options: limits.grpc,
    methods: [...createOtlpMethods(intake, handlingLarge), createEnvoyMethod({ intake, handlingLarge, logger })],
    unavailable: () => log.unavailable('calls'),
    ...{ sources, verify, flight, arriving: createFlight(limits.inFlightBytesMax), beginCall: deps.beginCall, logger },
  })
  const listeners = openListeners(sources.configured.filter(isListening), { intake, log, dir, logger, now })
  return {
    routes: [
      createCallRoutes({ bodies, normalizer }),
      createSourceRoutes({ bodies, sources, principalOf, limits, now }),
      createSplunkRoutes({ bodies, sources, principalOf }),
      createOtlpRoutes({ bodies: createRequestBodies(shared, 'otlp'), sources, principalOf }),
      createSourceStatusRoutes({ sources, intake, listeners, principalOf, sinceMs: now() }),
    ],
    intake,
    readiness: () => [...[grpc.problem() ?? []].flat(), ...listeners.readiness()],
    async close() {
      await Promise.all([grpc.close(), listeners.close()])
    },
  }
}

function isListening(configured: ConfiguredSource): configured is ListeningSource {
  return configured.receive.kind !== 'http'
}

/** What a large body leaves behind may be as much as all else: the next one must not come on top of it. */
function collectGarbage(): void {
  const { used_heap_size, external_memory } = getHeapStatistics()
  if (used_heap_size + external_memory > GARBAGE_BYTES_MAX) globalThis.gc?.()
}
