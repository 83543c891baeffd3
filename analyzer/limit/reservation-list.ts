/** `GET /v1/reservations`: what is held now, and by whom. */
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import type { DecisionIds } from './decision-id.ts'
import { DoorError } from './door-error.ts'
import { instant, tenantFor, text } from './http.ts'
import type { DecisionOrder, HeldReservation, LimitStore } from './limit-store.ts'
import { parseNote } from './reservations.ts'

const PAGE_MAX = 500
/** Reservations that one page looks at; then it ends early, with a cursor. */
const SCANNED_MAX = 10_000
const CURSOR = /^(?<epoch>\d{1,16})\.(?<sequence>\d{1,16})$/

const Listed = Type.Object({
  id: Type.Union([Type.String(), Type.Null()], { description: 'To settle or release by.' }),
  owner: Type.String(),
  dimensions: Type.Record(Type.String(), Type.String(), { description: 'Of the call, as far as they are known.' }),
  cost: Type.Record(Type.String(), Type.Number(), { description: 'What was stated or estimated.' }),
  madeAtMs: instant('When it was made.'),
  expiresAtMs: Type.Union([instant('When what is held is given back by itself.'), Type.Null()]),
})
type Listed = Static<typeof Listed>

const Answer = Type.Object({
  reservations: Type.Array(Listed),
  nextCursor: Type.Union([Type.String(), Type.Null()], { description: '`cursor` of the next page; null: no more.' }),
})
export type ReservationsAnswer = Static<typeof Answer>

const Query = Type.Object(
  {
    tenant: Type.Optional(text('Of this tenant only.')),
    consumer: Type.Optional(text('Of this consumer only.')),
    owner: Type.Optional(text('Of this owner only.')),
    limit: Type.Optional(Type.Integer({ default: 100, minimum: 1, maximum: PAGE_MAX, description: 'Most of a page.' })),
    cursor: Type.Optional(text('`nextCursor` of an earlier answer.')),
  },
  { additionalProperties: false },
)
/** What has a default is always there. */
type Query = Static<typeof Query> & { limit: number }

/** The route as any role describes it that hands it on. */
export const RESERVATIONS_ROUTE = {
  path: '/v1/reservations',
  schema: {
    summary: 'What is held',
    description:
      'Reservations that are neither settled nor expired, in the order in which they were made. A page may hold ' +
      'fewer than `limit`, and still not be the last one.',
    tags: ['reservations'],
    querystring: Query,
    response: { 200: Answer },
  },
}

export interface ReservationListDeps {
  store: LimitStore
  decisionIds: DecisionIds
  principalOf: PrincipalOf
}

export function createReservationListRoutes(deps: ReservationListDeps): Routes {
  return server => {
    const { path, schema } = RESERVATIONS_ROUTE
    server.get<{ Querystring: Query }>(path, { schema, config: { access: 'read' } }, request => {
      const tenant = tenantFor(deps.principalOf(request).tenant, request.query.tenant ?? null)
      return list(deps, { ...request.query, tenant })
    })
  }
}

async function list(
  { store, decisionIds }: ReservationListDeps,
  { tenant, consumer, owner, limit, cursor }: Omit<Query, 'tenant'> & { tenant: string | null },
): Promise<Static<typeof Answer>> {
  const reservations: Listed[] = []
  let after = cursor === undefined ? null : parseCursor(cursor)
  let scanned = 0
  while (scanned < SCANNED_MAX) {
    const page = await store.reservations(after, PAGE_MAX)
    for (const held of page) {
      const listed = toListed(held, decisionIds)
      after = held.reference
      const isOf = (name: string, wanted: string | null | undefined) =>
        (wanted ?? null) === null || listed.dimensions[name] === wanted
      if (!isOf('tenant', tenant) || !isOf('consumer', consumer)) continue
      if (owner !== undefined && listed.owner !== owner) continue
      reservations.push(listed)
      if (reservations.length === limit) return { reservations, nextCursor: toCursor(held.reference) }
    }
    if (page.length < PAGE_MAX) return { reservations, nextCursor: null }
    scanned += page.length
  }
  return { reservations, nextCursor: after === null ? null : toCursor(after) }
}

function toListed({ reference, madeAtMs, expiresAtMs, note }: HeldReservation, decisionIds: DecisionIds): Listed {
  const { owner, dims, cost } = parseNote(note)
  const dimensions: Record<string, string> = {}
  for (const [name, value] of Object.entries(dims)) if (value !== null) dimensions[name] = value
  return { id: decisionIds.encode(reference), owner, dimensions, cost, madeAtMs, expiresAtMs }
}

const toCursor = ({ epoch, sequence }: DecisionOrder) => `${epoch}.${sequence}`

function parseCursor(cursor: string): DecisionOrder {
  const { epoch, sequence } = CURSOR.exec(cursor)?.groups ?? {}
  if (epoch === undefined || sequence === undefined) {
    throw new DoorError(400, 'cursor_invalid', 'cursor: expected `nextCursor` of an earlier answer')
  }
  return { epoch: Number(epoch), sequence: Number(sequence) }
}
