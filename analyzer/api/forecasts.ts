/** `GET /v1/forecasts`: will it run out before its reset, and when? */
import type { FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import type { Policy } from '../policy/policy.ts'
import type { SubjectForecast } from '../tick/subject-forecast.ts'
import type { Snapshot } from '../tick/ticker.ts'
import { keyOfSubject } from '../usage/selection.ts'
import { comparePlaces, NextCursor, pageQuery, parseCursor, toCursor } from './cursor.ts'
import { type Answering, ForecastAnswer, toForecastAnswer } from './forecast-schema.ts'
import { tenantAsked } from './request-error.ts'

const NAME_CHARACTERS_MAX = 512

const name = (description: string) => Type.Optional(Type.String({ maxLength: NAME_CHARACTERS_MAX, description }))

const Query = Type.Object(
  {
    quota: name('Only of this quota.'),
    tenant: name('Only of this tenant.'),
    consumer: name('Only of this consumer.'),
    atRisk: Type.Optional(
      Type.Number({ minimum: 0, maximum: 1, description: 'Only with at least this probability of exhaustion.' }),
    ),
    ...pageQuery(),
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
  nextCursor: NextCursor,
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
  const after = parseCursor(cursor, FIRST)
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
    nextCursor: last ? toCursor(last.place) : null,
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
const FIRST: Place = ['', '']
