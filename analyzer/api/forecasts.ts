/** `GET /v1/forecasts`: will it run out before its reset, and when? */
import type { FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import type { Policy } from '../policy/policy.ts'
import type { SubjectForecast } from '../tick/subject-forecast.ts'
import type { Snapshot } from '../tick/ticker.ts'
import { keyOfSubject } from '../usage/selection.ts'
import { type Answering, ForecastAnswer, toForecastAnswer } from './forecast-schema.ts'
import { RequestError, tenantAsked } from './request-error.ts'

const LIMIT_MAX = 1_000
const NAME_CHARACTERS_MAX = 512
const CURSOR_CHARACTERS_MAX = 16_384

const name = (description: string) => Type.Optional(Type.String({ maxLength: NAME_CHARACTERS_MAX, description }))

const Query = Type.Object(
  {
    quota: name('Only of this quota.'),
    tenant: name('Only of this tenant.'),
    consumer: name('Only of this consumer.'),
    atRisk: Type.Optional(
      Type.Number({ minimum: 0, maximum: 1, description: 'Only with at least this probability of exhaustion.' }),
    ),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: LIMIT_MAX, default: 100, description: 'Most forecasts to answer.' }),
    ),
    cursor: Type.Optional(
      Type.String({ maxLength: CURSOR_CHARACTERS_MAX, description: '`nextCursor` of the answer before.' }),
    ),
  },
  { additionalProperties: false },
)
/** What has a default is always there. */
type Query = Static<typeof Query> & { limit: number }

const Answer = Type.Object({
  asOfMs: Type.Union([Type.Integer(), Type.Null()], {
    description: 'When the analyzer last looked, Unix milliseconds; null before it ever did.',
  }),
  forecasts: Type.Array(ForecastAnswer),
  nextCursor: Type.Union([Type.String(), Type.Null()], { description: 'Null at the end.' }),
})

export interface ForecastDeps {
  snapshot: () => Snapshot
  policy: () => Policy
  principalOf: PrincipalOf
  now: () => number
}

export function createForecastRoutes({ snapshot, policy, principalOf, now }: ForecastDeps): Routes {
  return server => {
    server.get<{ Querystring: Query }>(
      '/v1/forecasts',
      {
        schema: {
          summary: 'Forecasts of exhaustion',
          description:
            'For every subject of every quota: what is used, whether and when the limit will be reached before the ' +
            'reset, and what is left then. Ordered by quota and subject, so that pages stay stable between ticks.',
          tags: ['forecasts'],
          querystring: Query,
          response: { 200: Answer },
        },
        config: { access: 'read' },
      },
      request =>
        answer(request, { snapshot: snapshot(), policy: policy(), nowMs: now(), own: principalOf(request).tenant }),
    )
  }
}

function answer(request: FastifyRequest<{ Querystring: Query }>, answering: Answering): Static<typeof Answer> {
  const { snapshot, own } = answering
  const { quota, consumer, atRisk, limit, cursor } = request.query
  const tenant = tenantAsked(own, request.query.tenant)
  const after = cursor === undefined ? null : parseCursor(cursor)
  const isWanted = (forecast: SubjectForecast) =>
    (quota === undefined || forecast.quota === quota) &&
    (tenant === undefined || forecast.tenant === tenant) &&
    (consumer === undefined || forecast.consumer === consumer) &&
    (atRisk === undefined || (forecast.probability !== null && forecast.probability >= atRisk))
  const all = inOrder(snapshot)
  const page: Placed[] = []
  for (let at = after === null ? 0 : indexAfter(all, after); at < all.length && page.length <= limit; at++) {
    const placed = all[at]
    if (placed && isWanted(placed.forecast)) page.push(placed)
  }
  const last = page.length > limit ? page[limit - 1] : undefined
  return {
    asOfMs: snapshot.asOfMs,
    forecasts: page.slice(0, limit).map(({ forecast }) => toForecastAnswer(forecast, answering)),
    nextCursor: last ? Buffer.from(JSON.stringify(last.place)).toString('base64url') : null,
  }
}

interface Placed {
  forecast: SubjectForecast
  place: Place
}

/** By the forecasts of a tick: of 100,000 to put them in order takes a fifth of a second, and they are read in 100 pages. */
const ordered = new WeakMap<Snapshot['forecasts'], readonly Placed[]>()

function inOrder({ forecasts, others }: Snapshot): readonly Placed[] {
  const known =
    ordered.get(forecasts) ??
    [...forecasts, ...others]
      .map(forecast => ({ forecast, place: placeOf(forecast) }))
      .sort((a, b) => comparePlaces(a.place, b.place))
  ordered.set(forecasts, known)
  return known
}

/** Of the first one behind the place. */
function indexAfter(all: readonly Placed[], after: Place): number {
  let [from, to] = [0, all.length]
  while (from < to) {
    const middle = Math.floor((from + to) / 2)
    const placed = all[middle]
    if (placed && comparePlaces(placed.place, after) <= 0) from = middle + 1
    else to = middle
  }
  return from
}

/** Where a forecast stands in the order of all. */
type Place = readonly [quota: string, subject: string]

const placeOf = ({ quota, subject }: SubjectForecast): Place => [quota, keyOfSubject(Object.values(subject))]

function comparePlaces(a: Place, b: Place): number {
  if (a[0] !== b[0]) return a[0] < b[0] ? -1 : 1
  if (a[1] === b[1]) return 0
  return a[1] < b[1] ? -1 : 1
}

function parseCursor(cursor: string): Place {
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (Array.isArray(place) && typeof place[0] === 'string' && typeof place[1] === 'string')
      return [place[0], place[1]]
  } catch {
    // Falls through to the same answer as any other text that is not a cursor.
  }
  throw new RequestError(400, 'CURSOR_INVALID', 'cursor: expected `nextCursor` of an earlier answer')
}
