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
import type { Ask, Decision, Limiter, Prepared } from './limiter.ts'

/** Checks of one request. */
const CHECKS_MAX = 100
const DIMENSIONS_MAX = 16
/** Greatest cost that can be stated, so that sums stay exact. */
export const COST_MAX = 1e15

const text = (description: string) => Type.String({ minLength: 1, maxLength: TEXT_CHARACTERS_MAX, description })
const instant = (description: string) => Type.Number({ description: `${description} Unix milliseconds.` })

const CheckRequest = Type.Object(
  {
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
        description: `What else is known of the call: ${DIMENSIONS.slice(2).join(', ')}, or a configured label.`,
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
    dryRun: Type.Optional(Type.Boolean({ description: 'Decides and spends nothing.' })),
  },
  { additionalProperties: false, $id: 'CheckRequest' },
)
type CheckRequest = Static<typeof CheckRequest> & { cost?: Ask['cost'] }

const CheckAnswer = Type.Object(
  {
    allowed: Type.Boolean({ description: 'Whether the call may pass.' }),
    decisionId: Type.Union([Type.String(), Type.Null()], {
      description: "To be logged as the call record's `decisionId`; null when nothing was spent.",
    }),
    asOfMs: instant('Call records that arrived before are counted.'),
    binding: Type.Union([Type.String(), Type.Null()], {
      description: 'The quota that is in the way, else the one of which least is left.',
    }),
    retryAfterMs: Type.Union([Type.Number(), Type.Null()], {
      description: 'The same call passes after so long, if nobody else spends; null: now, or never.',
    }),
    degraded: Type.Boolean({ description: 'The limit store was away: `onStoreFailure` decided.' }),
    blocked: Type.Union([Type.String(), Type.Null()], {
      description: 'What of the caller is blocked (consumer, tenant, address), whatever quotas say.',
    }),
    quotas: Type.Array(
      Type.Object({
        quota: Type.String(),
        unit: Type.String(),
        limit: Type.Number(),
        used: Type.Number({ description: 'This call included, if it may pass.' }),
        reserved: Type.Number(),
        remaining: Type.Number(),
        resetAtMs: instant('End of the window.'),
        enforcement: Type.String(),
      }),
      { description: 'Every quota that covers the call.' },
    ),
  },
  { $id: 'CheckAnswer' },
)
type CheckAnswer = Static<typeof CheckAnswer>

export interface CheckDeps {
  limiter: Limiter
  decisionIds: DecisionIds
  identity: Identity
  /** Configured labels that are dimensions, in their order. */
  labelColumns: readonly string[]
  principalOf: PrincipalOf
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
          body: Type.Union([CheckRequest, Type.Array(CheckRequest, { minItems: 1, maxItems: CHECKS_MAX })]),
          response: { 200: Type.Union([CheckAnswer, Type.Array(CheckAnswer)]) },
        },
        config: { access: 'check' },
        // A serializer made from a union tries its branches one after the other; the answer is made right here.
        serializerCompiler: () => answer => JSON.stringify(answer),
      },
      async request => {
        const { body } = request
        if (!Array.isArray(body)) return decide(prepare(deps, request, body))
        const prepared = body.map(one => prepare(deps, request, one))
        const answers: CheckAnswer[] = []
        for (const one of prepared) answers.push(await decide(one))
        return answers
      },
    )
  }
}

/** Throws `DoorError` 400 for a stated cost that can never fit. */
function prepare(deps: CheckDeps, request: FastifyRequest, check: CheckRequest): Prepared {
  const tenant = tenantFor(deps.principalOf(request).tenant, check.tenant ?? null)
  const { consumer = null, credential = null } = check
  const dims = dimensionsOf(check.dimensions, deps.labelColumns)
  Object.assign(dims, deps.identity.identify({ credential, consumer, tenant }))
  const { cost: stated = {}, clientIp = null, requestId = null } = check
  const prepared = deps.limiter.prepare({ dims, cost: stated, clientIp, requestId, isDryRun: check.dryRun === true })
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

function dimensionsOf(named: Record<string, string> | undefined, labelColumns: readonly string[]): Dimensions {
  const dims = noDimensions()
  for (const name in named) {
    const field = dimensionField(name, labelColumns)
    if (field === null || field === 'tenant' || field === 'consumer') {
      throw new DoorError(400, 'unknown_dimension', `not a dimension or configured label: ${name}`)
    }
    dims[field] = named[name] ?? null
  }
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

function toAnswer(decision: Decision, decisionIds: DecisionIds): CheckAnswer {
  const { isAllowed, reference, asOfMs, binding, retryAfterMs, isDegraded, block, quotas } = decision
  return {
    allowed: isAllowed,
    decisionId: reference === null ? null : decisionIds.encode(reference),
    asOfMs,
    binding,
    retryAfterMs,
    degraded: isDegraded,
    blocked: block?.what ?? null,
    quotas,
  }
}
