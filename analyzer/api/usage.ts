/** `GET /v1/usage`: what was used, over time and by dimension. */
import type { ClickHouseClient } from '@clickhouse/client'
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import { DIMENSION_COLUMNS, DIMENSIONS, dimensionField } from '../policy/quota.ts'
import { readPoints, type UsagePoint } from '../usage/points.ts'
import { keyOfSubject, type Selection } from '../usage/selection.ts'
import { UNITS, type Unit } from '../usage/units.ts'
import { RequestError, tenantAsked } from './request-error.ts'
import { parseDuration, parseInstant } from './times.ts'

const MINUTE_MS = 60_000
const STEP_MS_MAX = 366 * 86_400_000
const POINTS_MAX = 100_000
const TEXT_CHARACTERS_MAX = 512

const text = (description: string) => Type.Optional(Type.String({ maxLength: TEXT_CHARACTERS_MAX, description }))

const Query = Type.Object({
  unit: Type.Optional(
    Type.Enum(UNITS, {
      default: 'requests',
      description: 'What is added up; `cost` in millionths of the currency.',
    }),
  ),
  from: Type.Optional(
    Type.String({
      default: '-1h',
      maxLength: 64,
      description: 'Begin: an instant (ISO 8601 with a zone, or Unix milliseconds) or a duration before now.',
    }),
  ),
  to: Type.Optional(Type.String({ maxLength: 64, description: 'End, as `from`; now when absent.' })),
  step: Type.Optional(
    Type.String({
      default: '1m',
      maxLength: 16,
      description:
        'Length of a step, whole minutes up to `366d`: `1m`, `15m`, `1h`. Steps begin at multiples of it, UTC.',
    }),
  ),
  by: text('Dimensions to tell apart, separated by commas; absent is one series.'),
})
/** What has a default is always there. */
type Query = Static<typeof Query> & { unit: Unit; from: string; step: string }
/** Filters: the value that a dimension or configured label must have. */
type Filters = Record<string, string | undefined>

const Answer = Type.Object({
  unit: Type.Enum(UNITS),
  stepMs: Type.Integer({ description: 'Length of a step, milliseconds.' }),
  series: Type.Array(
    Type.Object({
      dimensions: Type.Record(Type.String(), Type.String(), { description: 'Unknown is an empty text.' }),
      points: Type.Array(Type.Array(Type.Number(), { minItems: 2, maxItems: 2 }), {
        description: '`[startMs, units]` in order of time; a step that is not there was not used.',
      }),
    }),
  ),
})

export interface UsageDeps {
  client: ClickHouseClient
  /** Configured labels that are columns. */
  labelColumns: readonly string[]
  principalOf: PrincipalOf
  now: () => number
}

export function createUsageRoutes(deps: UsageDeps): Routes {
  const filters = filterNames(deps.labelColumns).map(name => [name, text(`Only calls with this ${name}.`)])
  return server => {
    server.get<{ Querystring: Query & Filters }>(
      '/v1/usage',
      {
        schema: {
          summary: 'Usage over time',
          description:
            'Units used per step, rounded outwards to whole steps, by the start of the calls. What was refused by a ' +
            'limit is not usage.',
          tags: ['usage'],
          querystring: Type.Object(
            { ...Query.properties, ...Object.fromEntries(filters) },
            { additionalProperties: false },
          ),
          response: { 200: Answer },
        },
        config: { access: 'read' },
      },
      request => answer(deps, request.query, deps.principalOf(request).tenant),
    )
  }
}

async function answer(deps: UsageDeps, query: Query & Filters, own: string | null): Promise<Static<typeof Answer>> {
  const { client, labelColumns, now } = deps
  const stepMs = parseDuration('step', query.step)
  if (stepMs < MINUTE_MS || stepMs > STEP_MS_MAX || stepMs % MINUTE_MS !== 0) {
    throw new RequestError(400, 'PARAMETER_INVALID', 'step: expected whole minutes, from 1m to 366d')
  }
  const nowMs = now()
  const fromMs = Math.floor(parseInstant('from', query.from, nowMs) / stepMs) * stepMs
  const toMs = Math.ceil((query.to === undefined ? nowMs : parseInstant('to', query.to, nowMs)) / stepMs) * stepMs
  if (fromMs >= toMs) throw new RequestError(400, 'PARAMETER_INVALID', 'to: expected an instant after `from`')
  const by = query.by === undefined || query.by === '' ? [] : [...new Set(query.by.split(','))]
  const wanted = { ...query, tenant: tenantAsked(own, query.tenant) }
  const selection: Selection = {
    unit: query.unit,
    match: filterSql(wanted, labelColumns),
    columns: by.map(name => columnOf(name, labelColumns)),
  }
  const points = await readPoints(client, selection, { fromMs, toMs, stepMs, pointsMax: POINTS_MAX })
  if (!points) {
    throw new RequestError(400, 'TOO_MANY_POINTS', `More than ${POINTS_MAX} points: ask for longer steps or less time.`)
  }
  return { unit: query.unit, stepMs, series: toSeries(by, points) }
}

/** Points come in the order of subjects, then of time. */
function toSeries(by: readonly string[], points: readonly UsagePoint[]): Static<typeof Answer>['series'] {
  const series: Static<typeof Answer>['series'] = []
  let lastKey: string | null = null
  for (const { subject, startMs, units } of points) {
    const key = keyOfSubject(subject)
    if (key !== lastKey) {
      series.push({ dimensions: Object.fromEntries(by.map((name, index) => [name, subject[index] ?? ''])), points: [] })
    }
    lastKey = key
    series.at(-1)?.points.push([startMs, units])
  }
  return series
}

/** A label that is named like a parameter cannot be filtered by. */
const filterNames = (labelColumns: readonly string[]): string[] =>
  [...DIMENSIONS, ...labelColumns].filter(name => !(name in Query.properties))

function filterSql(filters: Filters, labelColumns: readonly string[]): Selection['match'] {
  const params: Record<string, string> = {}
  const conditions = filterNames(labelColumns).flatMap(name => {
    const value = filters[name]
    if (value === undefined) return []
    const column = columnOf(name, labelColumns)
    params[`filter_${column}`] = value
    return [`${column} = {filter_${column}:String}`]
  })
  return { sql: conditions.length === 0 ? '1' : conditions.join(' AND '), params }
}

function columnOf(name: string, labelColumns: readonly string[]): string {
  const field = dimensionField(name, labelColumns)
  if (field !== null) return DIMENSION_COLUMNS[field]
  throw new RequestError(400, 'PARAMETER_INVALID', `by: not a dimension or configured label: ${name}`)
}
