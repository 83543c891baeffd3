/**
 * Envoy's ext_authz over gRPC. Headers of the call are the client's own word, so what is known of it beside the path and
 * the credential comes from the context extensions of the route. So may Envoy's own token: not all that configure Envoy
 * can add metadata to its questions.
 * https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/auth/v3/external_auth.proto
 */
import { TEXT_CHARACTERS_MAX } from '../../../collector/call-record.ts'
import { dimensionField } from '../../policy/quota.ts'
import { findInRequest, type ReadCaller, type Source } from '../caller.ts'
import { answerTo, answerToRefusal, DECISION_ID_HEADER, type DoorAnswer, type DoorAnswerDeps } from '../door-answer.ts'
import { noDimensions } from '../http.ts'
import type { Ask, Limiter } from '../limiter.ts'
import { type Caller, NOBODY } from './caller-metadata.ts'
import { type CheckRequest, decodeCheckRequest, encodeDenied, encodeOk } from './ext-authz-messages.ts'
import { GRPC, type GrpcMethod, TOKEN_NAME } from './rpc.ts'

export interface ExtAuthzDeps extends DoorAnswerDeps {
  limiter: Limiter
  readCaller: ReadCaller
  labelColumns: readonly string[]
  /** The route of a path, as in call records: ids replaced. */
  routeOf: (path: string) => string
}

/** The method by its path. */
export function createExtAuthzMethod(deps: ExtAuthzDeps): [string, GrpcMethod] {
  const { limiter, readCaller } = deps
  return [
    '/envoy.service.auth.v3.Authorization/Check',
    {
      access: 'check',
      tokenIn: message => decodeCheckRequest(message).contextExtensions.get(TOKEN_NAME),
      async handle(message, principal) {
        const request = decodeCheckRequest(message)
        const { tenant, consumer, refusal } = readCaller(source => find(request, source), principal.tenant)
        if (refusal !== null) return encode(answerToRefusal(refusal), NOBODY)
        const caller = { tenant, consumer }
        const decision = await limiter.check(limiter.prepare(toAsk(deps, request, caller)))
        return encode(answerTo(decision, deps), caller)
      },
    },
  ]
}

/** Of one header that are looked at. */
const CREDENTIALS_MAX = 8

/** Envoy joins the values of a header that is there more than once; most servers take the first for the credential. */
export const joinedCredentials = (text: string): string[] =>
  text.includes(',') ? [...text.split(',', CREDENTIALS_MAX), text] : [text]

const find = ({ headers, contextExtensions, path }: CheckRequest, source: Source): string | null =>
  source.kind === 'context'
    ? contextExtensions.get(source.name) || null
    : findInRequest(source, name => headers.get(name) || null, path)

function toAsk(
  { labelColumns, routeOf }: ExtAuthzDeps,
  { address, path, headers, contextExtensions }: CheckRequest,
  caller: Caller,
): Ask {
  const dims = noDimensions()
  for (const [name, value] of contextExtensions) {
    const field = dimensionField(name, labelColumns)
    if (field !== null) dims[field] = value.slice(0, TEXT_CHARACTERS_MAX)
  }
  dims.route ??= path === '' ? null : routeOf(path).slice(0, TEXT_CHARACTERS_MAX)
  const requestId = headers.get('x-request-id')?.slice(0, TEXT_CHARACTERS_MAX) || null
  return { dims: { ...dims, ...caller }, cost: {}, clientIp: address, requestId, isDryRun: false }
}

/** gRPC's names of what a denial is. */
const CODES = { 401: GRPC.unauthenticated, 403: GRPC.permissionDenied, 429: GRPC.resourceExhausted } as const

function encode({ status, headers, decisionId, body }: DoorAnswer, caller: Caller): Uint8Array {
  if (status !== 200) return encodeDenied(CODES[status], { status, headers, body }, caller)
  return encodeOk(decisionId === null ? {} : { [DECISION_ID_HEADER]: decisionId }, headers, caller)
}
