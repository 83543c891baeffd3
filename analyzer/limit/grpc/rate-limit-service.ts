/**
 * Envoy's rate limit service, and that of Kuadrant (Limitador), on the limiter: each request is one call, and each of
 * its descriptors a statement about it (`descriptors.ts`).
 *
 * - hits above 0: a check; all quotas that concern the call spend, or none
 * - hits of 0: a look, which spends nothing
 * - negative hits, or an entry that config marks as a record: given back, or spent, in any case
 * - none but records, also of nothing, or what is held given back: the call with that request id has ended; without an
 *   id nobody knows which one that is, and what is held stays held
 *
 * https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/ratelimit/v3/rls.proto
 * https://github.com/Kuadrant/limitador/blob/main/limitador-server/proto/kuadrantrls.proto
 */
import { TEXT_CHARACTERS_MAX } from '../../../collector/call-record.ts'
import type { Principal } from '../../../collector/principal.ts'
import type { Unit } from '../../usage/units.ts'
import type { ReadCaller } from '../caller.ts'
import { answerTo, answerToRefusal, DECISION_ID_HEADER, type DoorAnswer, type DoorAnswerDeps } from '../door-answer.ts'
import type { Decision, Limiter, Prepared } from '../limiter.ts'
import { type Caller, NOBODY } from './caller-metadata.ts'
import {
  createDescriptorReader,
  type DescriptorReaderDeps,
  type Meant,
  type Statement,
  type Statements,
} from './descriptors.ts'
import {
  CODE,
  type DescriptorStatus,
  decodeRateLimitRequest,
  encodeRateLimitResponse,
  type RateLimitRequest,
} from './rls-messages.ts'
import type { Answering, GrpcMethod } from './rpc.ts'
import { createStatusOf, withCosts } from './statuses.ts'

export interface RateLimitServiceDeps extends DoorAnswerDeps, DescriptorReaderDeps {
  limiter: Limiter
  readCaller: ReadCaller
  /** Envoy makes headers of the limits in statuses; where we make them, statuses have none. */
  hasLimitsInStatuses: boolean
  /** Of what is reported, where no entry says it. */
  reportUnit: Unit
}

/** The methods by their paths. */
export function createRateLimitMethods(deps: RateLimitServiceDeps): [string, GrpcMethod][] {
  const readDescriptors = createDescriptorReader(deps)
  const method = (meant: Meant): GrpcMethod => ({
    access: 'check',
    handle(message, principal) {
      const request = decodeRateLimitRequest(message)
      return answer(deps, request, principal, readDescriptors(request, meant))
    },
  })
  const kuadrant = '/kuadrant.service.ratelimit.v1.RateLimitService'
  return [
    ['/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit', method({ unit: 'requests', kind: 'as_told' })],
    [`${kuadrant}/CheckRateLimit`, method({ unit: 'requests', kind: 'look' })],
    [`${kuadrant}/Report`, method({ unit: deps.reportUnit, kind: 'record' })],
  ]
}

function answer(
  deps: RateLimitServiceDeps,
  { domain }: RateLimitRequest,
  principal: Principal,
  statements: Statements,
): Answering {
  const { each, dims, clientIp, requestId, find } = statements
  const { tenant, consumer, refusal } = deps.readCaller(find, principal.tenant)
  if (refusal !== null) {
    return respond(
      answerToRefusal(refusal),
      each.map(() => REFUSED),
      NOBODY,
    )
  }
  dims.tenant = tenant
  dims.consumer = consumer
  if (domain !== '') dims.gateway ??= domain.slice(0, TEXT_CHARACTERS_MAX)
  const prepared = deps.limiter.prepare({ dims, cost: {}, clientIp, requestId, isDryRun: false })
  const told = () => tell(deps, prepared, statements)
  return hasEnded(prepared, statements) ? deps.limiter.end(prepared).then(told) : told()
}

/** True for a call that has ended and of which nothing is recorded under its id. */
function hasEnded(prepared: Prepared, { each, stated, requestId }: Statements): boolean {
  if (requestId === null) return false
  if (each.every(({ hits }) => hits === 0)) return each.some(({ isAtEnd }) => isAtEnd)
  if (!each.some(({ hits }) => hits < 0)) return false
  return withCosts(prepared, each, stated).claims.some(({ isHeld, cost }) => isHeld && cost < 0)
}

function tell(deps: RateLimitServiceDeps, prepared: Prepared, statements: Statements): Answering {
  const { each, dims } = statements
  if (each.some(({ isRecord }) => isRecord)) return answerToRecords(deps, prepared, statements)
  const decision = deps.limiter.check(withCosts(prepared, each, statements.stated))
  const respondTo = (decided: Decision) =>
    respond(
      answerTo(decided, deps),
      statusesOf(deps, prepared, statements, () => decided),
      dims,
    )
  return decision instanceof Promise ? decision.then(respondTo) : respondTo(decision)
}

/** Some statements, or all of them, are of what has been spent. */
async function answerToRecords(
  deps: RateLimitServiceDeps,
  prepared: Prepared,
  statements: Statements,
): Promise<Uint8Array> {
  const { limiter } = deps
  const { each, stated } = statements
  const records = each.filter(({ isRecord }) => isRecord)
  const checks = each.filter(({ isRecord }) => !isRecord)
  const check = () => limiter.check(withCosts(prepared, checks, stated))
  // What is recorded beside the check of its call is settled together with it; what is given back makes room for it.
  const begins = checks.some(({ hits }) => hits > 0) && records.every(({ hits }) => hits > 0)
  const checked = begins ? await check() : null
  const recorded = await limiter.record(withCosts(prepared, records, stated), begins)
  const decision = checked ?? (checks.length === 0 ? recorded : await check())
  const statuses = statusesOf(deps, prepared, statements, ({ isRecord }) => (isRecord ? recorded : decision))
  return respond(answerTo(decision, deps), statuses, statements.dims)
}

function statusesOf(
  { hasLimitsInStatuses }: RateLimitServiceDeps,
  prepared: Prepared,
  { each, stated }: Statements,
  decisionOn: (statement: Statement) => Decision,
): DescriptorStatus[] {
  const statusOf = createStatusOf(prepared, stated)
  return each.map(statement => {
    const status = statusOf(statement, decisionOn(statement))
    return hasLimitsInStatuses ? status : { ...status, limit: null }
  })
}

const REFUSED: DescriptorStatus = { code: CODE.overLimit, limit: null }

function respond(
  { status, headers, decisionId, body }: DoorAnswer,
  statuses: readonly DescriptorStatus[],
  { tenant, consumer }: Caller,
): Uint8Array {
  return encodeRateLimitResponse({
    code: status === 200 ? CODE.ok : CODE.overLimit,
    statuses,
    responseHeaders: headers,
    requestHeaders: decisionId === null ? {} : { [DECISION_ID_HEADER]: decisionId },
    body,
    caller: { tenant, consumer },
  })
}
