/** The JSON door: `POST /v1/check` decides for one call or, in order, for several. */
import type { FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { TEXT_CHARACTERS_MAX } from '../../collector/call-record.ts'
import type { Identity } from '../../collector/identity.ts'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import { DIMENSIONS, type Dimensions, dimensionField } from '../policy/quota.ts'
import { UNITS } from '../usage/units.ts'
import type { DecisionIds } from './decision-id.ts'
import { DoorError } from './door-error.ts'
import type { Ask, Cost, Decision, Limiter, Prepared } from './limiter.ts'

/** Calls of one request. */
export const CALLS_MAX = 100
const DIMENSIONS_MAX = 16
/** Greatest cost that can be stated, so that sums stay exact. */
export const COST_MAX = 1e15

export const text = (description: string) => Type.String({ minLength: 1, maxLength: TEXT_CHARACTERS_MAX, description })
export const instant = (description: string) => Type.Number({ description: `${description} Unix milliseconds.` })

/** What a request says of one call. */
export const CALL_FIELDS = {
  tenant: Type.Optional(
    text('The organisation that calls; absent with a token of one tenant, or where `keys` says it.'),
  ),
  consumer: Type.Optional(
    text('The credential or application that calls: a name, an id of the gateway, a fingerprint.'),
  ),
  credential: Type.Optional(text('The raw credential instead; only its fingerprint is kept.')),
  dimensions: Type.Optional(
    Type.Record(Type.String(), text('Value of the dimension.'), {
      maxProperties: DIMENSIONS_MAX,
      description:
        `What else is known of the call: ${DIMENSIONS.slice(2).join(', ')}, or a configured label. The route may be a ` +
        'path: as in call records, its ids are replaced.',
    }),
  ),
  cost: Type.Optional(
    Type.Object(
      Object.fromEntries(UNITS.map(unit => [unit, Type.Optional(Type.Integer({ minimum: 0, maximum: COST_MAX }))])),
      {
        additionalProperties: false,
        description: 'What the call will take; an absent unit is settled by the call record, `requests` is 1.',
      },
    ),
  ),
  clientIp: Type.Optional(text('Address of the client, for blocks of addresses.')),
  requestId: Type.Optional(text('Id of the call at the gateway, by which its record is found.')),
}
const CallRequest = Type.Object(CALL_FIELDS)
export type CallRequest = Omit<Static<typeof CallRequest>, 'cost'> & { cost?: Cost }

export const CheckRequest = Type.Object(
  {
    ...CALL_FIELDS,
    dryRun: Type.Optional(Type.Boolean({ description: 'Decides and spends nothing.' })),
  },
  { additionalProperties: false, $id: 'CheckRequest' },
)
type CheckRequest = CallRequest & Pick<Static<typeof CheckRequest>, 'dryRun'>

export const CheckAnswer = Type.Object(
  {
    allowed: Type.Boolean({ description: 'Whether the call may pass.' }),
    decisionId: Type.Union([Type.String(), Type.Null()], {
      description: "To be logged as the call record's `decisionId`; null when nothing was spent.",
    }),
    nowMs: instant("By the limiter's clock, as are the others here."),
    asOfMs: instant('Call records that arrived before are counted.'),
    binding: Type.Union([Type.String(), Type.Null()], {
      description: 'The quota that is in the way, else the one of which least is left.',
    }),
    retryAfterMs: Type.Union([Type.Number(), Type.Null()], {
      description: 'The same call passes after so long, if nobody else spends; null: now, or never.',
    }),
    degraded: Type.Boolean({
      description:
        'The limit store was away, or had no room for some of it. The answer is approximate: by what this limiter last ' +
        'knew and has let pass since, by the quotas that there was room for, or by `onStoreFailure: deny`.',
    }),
    blocked: Type.Union([Type.String(), Type.Null()], {
      description: 'What of the caller is blocked (consumer, tenant, address), whatever quotas say.',
    }),
    quotas: Type.Array(
      Type.Object({
        quota: Type.String(),
        unit: Type.String(),
        limit: Type.Union([Type.Number(), Type.Null()], {
          description:
            'Per window, or per period of a rate; null while the provider has not said it: nothing is denied, unless it ' +
            'refuses calls (`remaining` is 0 then).',
        }),
        used: Type.Number({ description: 'This call included, if it may pass. Of a rate: what has not drained yet.' }),
        reserved: Type.Number({ description: 'Held for calls under way.' }),
        remaining: Type.Union([Type.Number(), Type.Null()], {
          description: 'What may be taken at once, now; null without a limit, 0 while the provider refuses calls.',
        }),
        resetAtMs: instant('When all that is used now counts no more: the end of the window, if there is one.'),
        countsLongerMs: Type.Number({
          description: 'What is used counts at most so much longer than the window: a slot of a sliding one, else 0.',
        }),
        overshootMax: Type.Union([Type.Number(), Type.Null()], {
          description:
            'How far what was let pass can exceed the limit; null where nothing bounds it, as true costs are known ' +
            'afterwards. While the limit store is away: what each limiter may let pass that no other one knows of.',
        }),
        enforcement: Type.String(),
      }),
      { description: 'Every quota that covers the call.' },
    ),
  },
  { $id: 'CheckAnswer' },
)
export type CheckAnswer = Static<typeof CheckAnswer>

/** What it takes to know of whom a request speaks. */
export interface AskDeps {
  identity: Identity
  /** Configured labels that are dimensions, in their order. */
  labelColumns: readonly string[]
  /** The route of a path, as in call records: ids replaced. */
  routeOf: (path: string) => string
  principalOf: PrincipalOf
}

export interface CheckDeps extends AskDeps {
  limiter: Limiter
  decisionIds: DecisionIds
}

export function createCheckRoutes(deps: CheckDeps): Routes {
  const decide = async (prepared: Prepared) => toAnswer(await deps.limiter.check(prepared), deps.decisionIds)
  return server => {
    server.post<{ Body: CheckRequest | CheckRequest[] }>(
      '/v1/check',
      {
        schema: {
          summary: 'May this call pass?',
          description:
            'Decides by every quota that covers the call, and spends from all of them or from none. Several checks are ' +
            'decided in order, each for itself. A stated cost that is more than a quota ever allows is an error (400, ' +
            '`cost_exceeds_limit`), and nothing is spent by any check of the request.',
          tags: ['limits'],
          body: Type.Union([CheckRequest, Type.Array(CheckRequest, { minItems: 1, maxItems: CALLS_MAX })]),
          response: { 200: Type.Union([CheckAnswer, Type.Array(CheckAnswer)]) },
        },
        config: { access: 'check' },
        // A serializer made from a union tries its branches one after the other; the answer is made right here.
        serializerCompiler: () => answer => JSON.stringify(answer),
      },
      async request => {
        const { body } = request
        const prepare = (one: CheckRequest) =>
          refuseExcess(deps.limiter.prepare({ ...toAsk(deps, request, one), isDryRun: one.dryRun === true }))
        if (!Array.isArray(body)) return decide(prepare(body))
        const prepared = body.map(prepare)
        const answers: CheckAnswer[] = []
        for (const one of prepared) answers.push(await decide(one))
        return answers
      },
    )
  }
}

/** Throws `DoorError` for another tenant than the caller's, and for an unknown dimension. */
export const toAsk = (deps: AskDeps, request: FastifyRequest, call: CallRequest): Ask =>
  askOf(deps, deps.principalOf(request).tenant, call)

/** The same of a caller who may speak for `only`, or for everybody. */
export function askOf(deps: Omit<AskDeps, 'principalOf'>, only: string | null, call: CallRequest): Ask {
  const tenant = tenantFor(only, call.tenant ?? null)
  const { consumer = null, credential = null, cost = {}, clientIp = null, requestId = null } = call
  const dims = dimensionsOf(call.dimensions, deps)
  Object.assign(dims, deps.identity.identify({ credential, consumer, tenant }))
  return { dims, cost, clientIp, requestId, isDryRun: false }
}

/** Throws `DoorError` 400 for a stated cost that can never fit. */
export function refuseExcess(prepared: Prepared): Prepared {
  if (prepared.excess === null) return prepared
  const { quota, unit, cost, limit } = prepared.excess
  throw new DoorError(
    400,
    'cost_exceeds_limit',
    `${cost} ${unit} is more than the quota ${quota} ever allows (${limit})`,
  )
}

/** The tenant that a caller may speak for. Throws `DoorError` 403 for another one. */
export function tenantFor(only: string | null, named: string | null): string | null {
  if (only !== null && named !== null && only !== named) {
    throw new DoorError(403, 'tenant_forbidden', 'this token is for another tenant')
  }
  return named ?? only
}

function dimensionsOf(
  named: Record<string, string> | undefined,
  { labelColumns, routeOf }: Pick<AskDeps, 'labelColumns' | 'routeOf'>,
): Dimensions {
  const dims = noDimensions()
  for (const name in named) {
    const field = dimensionField(name, labelColumns)
    if (field === null || field === 'tenant' || field === 'consumer') {
      throw new DoorError(400, 'unknown_dimension', `not a dimension or configured label: ${name}`)
    }
    dims[field] = named[name] ?? null
  }
  if (dims.route !== null) dims.route = routeOf(dims.route).slice(0, TEXT_CHARACTERS_MAX)
  return dims
}

export const noDimensions = (): Dimensions => ({
  tenant: null,
  consumer: null,
  gateway: null,
  route: null,
  service: null,
  provider: null,
  model: null,
  providerKey: null,
  label1: null,
  label2: null,
})

export function toAnswer(decision: Decision, decisionIds: DecisionIds): CheckAnswer {
  const { isAllowed, reference, nowMs, asOfMs, binding, retryAfterMs, isDegraded, block, quotas } = decision
  return {
    allowed: isAllowed,
    decisionId: reference === null ? null : decisionIds.encode(reference),
    nowMs,
    asOfMs,
    binding,
    retryAfterMs,
    degraded: isDegraded,
    blocked: block?.what ?? null,
    quotas,
  }
}
