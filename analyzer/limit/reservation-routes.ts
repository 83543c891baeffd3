/** The JSON door to reservations: reserve, settle, release; one or several at once, in order. */
import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import Type, { type Static, type TSchema } from 'typebox'
import type { Routes } from '../../collector/principal.ts'
import { UNITS } from '../usage/units.ts'
import type { DecisionIds } from './decision-id.ts'
import {
  type AskDeps,
  CALL_FIELDS,
  CALLS_MAX,
  type CallRequest,
  CheckAnswer,
  COST_MAX,
  instant,
  refuseExcess,
  toAnswer,
  toAsk,
} from './http.ts'
import type { Cost } from './limiter.ts'
import type { Reservations, Reserved } from './reservations.ts'

const TTL_SECONDS_MAX = 86_400
const OWNER_CHARACTERS_MAX = 128
/** Turns of the event loop until what came behind a request has been read: the rest of this one, and a whole one. */
const READ_TURNS = 2

const orSeveral = <T extends TSchema>(schema: T) =>
  Type.Union([schema, Type.Array(schema, { minItems: 1, maxItems: CALLS_MAX })])

const ReservationRequest = Type.Object(
  {
    ...CALL_FIELDS,
    maxTokens: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: COST_MAX,
        description: 'Most tokens that the call may generate: they are never estimated higher.',
      }),
    ),
    ttlSeconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: TTL_SECONDS_MAX,
        description: 'How long to hold; absent: the longest `reservation.ttlSeconds` of the quotas concerned.',
      }),
    ),
    owner: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: OWNER_CHARACTERS_MAX,
        description: 'Who holds it, for whoever lists reservations; absent: the name of the token.',
      }),
    ),
  },
  { additionalProperties: false, $id: 'ReservationRequest' },
)
type ReservationRequest = CallRequest & Pick<Static<typeof ReservationRequest>, 'maxTokens' | 'ttlSeconds' | 'owner'>

const { decisionId: _decisionId, ...ANSWER_FIELDS } = CheckAnswer.properties
const ReservationAnswer = Type.Object(
  {
    id: Type.Union([Type.String(), Type.Null()], {
      description:
        "To settle or release by, and to be logged as the call record's `decisionId`; null when nothing is held.",
    }),
    expiresAtMs: Type.Union([instant('When what is held is given back by itself.'), Type.Null()]),
    held: Type.Array(
      Type.Object({
        quota: Type.String(),
        unit: Type.String(),
        amount: Type.Number({ description: 'What this reservation holds.' }),
        estimated: Type.Boolean({ description: 'Learned of such calls, as the request does not say.' }),
      }),
      { description: 'What is reserved of each quota.' },
    ),
    ...ANSWER_FIELDS,
  },
  { $id: 'ReservationAnswer' },
)
type ReservationAnswer = Static<typeof ReservationAnswer>

const id = Type.String({ minLength: 1, maxLength: 2_048, description: 'Of the answer to the reservation.' })
const SettleRequest = Type.Object(
  {
    id,
    cost: Type.Optional(
      Type.Object(
        Object.fromEntries(UNITS.map(unit => [unit, Type.Optional(Type.Integer({ minimum: 0, maximum: COST_MAX }))])),
        {
          additionalProperties: false,
          description: 'What the call took; a unit that is absent took what was reserved.',
        },
      ),
    ),
  },
  { additionalProperties: false, $id: 'SettleRequest' },
)
type SettleRequest = { id: string; cost?: Cost }
const ReleaseRequest = Type.Object({ id }, { additionalProperties: false, $id: 'ReleaseRequest' })
type ReleaseRequest = Static<typeof ReleaseRequest>

const OutcomeAnswer = Type.Object(
  {
    id: Type.String(),
    outcome: Type.Enum(['settled', 'already_settled', 'unknown'], {
      description:
        '`already_settled`: by the caller, a release, or the call record; nothing was done. `unknown`: not a ' +
        'reservation of this tenant (a check is none), or it was lost with counters or made days ago; nothing was ' +
        'done, and its cost can be told to `POST /v1/record`.',
    }),
  },
  { $id: 'OutcomeAnswer' },
)
type OutcomeAnswer = Static<typeof OutcomeAnswer>

export interface ReservationRoutesDeps extends AskDeps {
  reservations: Reservations
  decisionIds: DecisionIds
}

/** A serializer made from a union tries its branches one after the other; the answers are made right here. */
const options = {
  config: { access: 'check' },
  serializerCompiler: () => (answer: unknown) => JSON.stringify(answer),
} as const
const tags = ['reservations']

export function createReservationRoutes(deps: ReservationRoutesDeps): Routes {
  return server => {
    addReserve(server, deps)
    addSettle(server, deps)
    addRelease(server, deps)
  }
}

function addReserve(server: FastifyInstance, deps: ReservationRoutesDeps): void {
  const { reservations, decisionIds } = deps
  server.post<{ Body: ReservationRequest | ReservationRequest[] }>(
    '/v1/reservations',
    {
      schema: {
        summary: 'Hold what a call will take',
        description:
          'Decides as `/v1/check` and holds the cost until it is settled by `settle` or by the call record, released, or ' +
          'expires. Tokens, cost and bytes that are not stated are estimated from what such calls really cost; where too ' +
          'little is known they hold nothing and count when they are settled. Several are decided in order, each for ' +
          'itself.',
        tags,
        body: orSeveral(ReservationRequest),
        response: { 200: orSeveral(ReservationAnswer) },
      },
      ...options,
    },
    async request => {
      const { body } = request
      const undo = async ({ id }: ReservationAnswer) => {
        if (id !== null) await reservations.undo(reservations.parseId(id))
      }
      const answers = await forEach(
        body,
        wanted => {
          const { maxTokens = null, ttlSeconds = null, owner = deps.principalOf(request).name } = wanted
          const ask = toAsk(deps, request, wanted)
          const prepared = reservations.prepare({ ask, maxTokens, ttlSeconds, owner })
          refuseExcess(prepared.prepared)
          return prepared
        },
        async prepared => toReservationAnswer(await reservations.reserve(prepared), decisionIds),
        undo,
      )
      // The end of a caller that gave up while we were busy is read after its request: each read takes a turn.
      for (let turns = 0; turns < READ_TURNS; turns += 1) await turn()
      // The caller is gone, and never hears of them. A call that it makes all the same is settled by its request id, if it has one.
      if (request.raw.socket.writable === false) {
        const wishes = [body].flat()
        const lost = [answers].flat().filter((_, place) => wishes[place]?.requestId === undefined)
        await Promise.allSettled(lost.map(undo))
      }
      return answers
    },
  )
}

function addSettle(server: FastifyInstance, { reservations, principalOf }: ReservationRoutesDeps): void {
  server.post<{ Body: SettleRequest | SettleRequest[] }>(
    '/v1/reservations/settle',
    {
      schema: {
        summary: 'Replace what is held by the true cost',
        description:
          'Once: again, or after the call record has come, it does nothing. A reservation that has expired spends all the ' +
          'same, in the window in which it was made if that is still open.',
        tags,
        body: orSeveral(SettleRequest),
        response: { 200: orSeveral(OutcomeAnswer) },
      },
      ...options,
    },
    request =>
      forEach(
        request.body,
        ({ id, cost = {} }) => ({ id, cost, reference: reservations.parseId(id) }),
        async ({ id, cost, reference }): Promise<OutcomeAnswer> => ({
          id,
          outcome: await reservations.settle(reference, cost, principalOf(request).tenant),
        }),
      ),
  )
}

function addRelease(server: FastifyInstance, { reservations, principalOf }: ReservationRoutesDeps): void {
  server.post<{ Body: ReleaseRequest | ReleaseRequest[] }>(
    '/v1/reservations/release',
    {
      schema: {
        summary: 'Give back what is held',
        description: 'For a call that was not made. Once: again it does nothing.',
        tags,
        body: orSeveral(ReleaseRequest),
        response: { 200: orSeveral(OutcomeAnswer) },
      },
      ...options,
    },
    request =>
      forEach(
        request.body,
        ({ id }) => ({ id, reference: reservations.parseId(id) }),
        async ({ id, reference }): Promise<OutcomeAnswer> => ({
          id,
          outcome: await reservations.release(reference, principalOf(request).tenant),
        }),
      ),
  )
}

function toReservationAnswer(
  { decision, id, expiresAtMs, held }: Reserved,
  decisionIds: DecisionIds,
): ReservationAnswer {
  const { decisionId: _decisionId, ...answer } = toAnswer({ ...decision, reference: null }, decisionIds)
  return {
    id,
    expiresAtMs: id === null ? null : expiresAtMs,
    held: held.map(({ quota, unit, amount, isEstimated }) => ({ quota, unit, amount, estimated: isEstimated })),
    ...answer,
  }
}

/**
 * All are prepared before the first one is done, so that one that is wrong leaves nothing half done. When one fails later,
 * nobody hears of those before it: they are undone, as far as that can be.
 */
async function forEach<Wanted, Prepared, Answer>(
  body: Wanted | Wanted[],
  prepare: (wanted: Wanted) => Prepared,
  act: (prepared: Prepared) => Promise<Answer>,
  undo: (answer: Answer) => Promise<void> = async () => undefined,
): Promise<Answer | Answer[]> {
  if (!Array.isArray(body)) return act(prepare(body))
  const prepared = body.map(prepare)
  const answers: Answer[] = []
  try {
    for (const one of prepared) answers.push(await act(one))
  } catch (error) {
    await Promise.allSettled(answers.map(undo))
    throw error
  }
  return answers
}
