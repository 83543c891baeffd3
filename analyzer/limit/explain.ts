/** `GET /v1/explain`: why a call would be allowed or denied now, and what was decided for such calls in a past minute. */
import type { FastifyRequest } from 'fastify'
import Type, { type Static, type TSchema } from 'typebox'
import type { Routes } from '../../collector/principal.ts'
import { INSTANT_MS_MAX } from '../policy/adjustment.ts'
import { isSeenBy } from '../policy/narrowing.ts'
import type { Policy } from '../policy/policy.ts'
import { DIMENSIONS, type Quota } from '../policy/quota.ts'
import { subjectMap, subjectOf } from '../policy/subject.ts'
import type { DecisionSums } from '../usage/decisions.ts'
import { amountWords, UNITS } from '../usage/units.ts'
import { DoorError } from './door-error.ts'
import { explain, type QuotaExplanation } from './explaining.ts'
import { type AskDeps, COST_MAX, instant, text, toAsk } from './http.ts'
import type { Limiter, Prepared } from './limiter.ts'

const MINUTE_MS = 60_000

const orNull = <T extends TSchema>(schema: T, description: string) => Type.Union([schema, Type.Null()], { description })

const CALL_PARAMETERS = {
  ...Object.fromEntries(DIMENSIONS.map(name => [name, Type.Optional(text('Of the call.'))])),
  ...Object.fromEntries(
    UNITS.map(unit => [
      unit,
      Type.Optional(Type.Integer({ minimum: 0, maximum: COST_MAX, description: 'What the call takes.' })),
    ]),
  ),
}
const OWN_PARAMETERS = {
  quota: Type.Optional(text('Of a call that this quota covers: what is not stated is the first that it matches.')),
  clientIp: Type.Optional(text('Address of the client, for blocks of addresses.')),
  atMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: INSTANT_MS_MAX,
      description: 'Tells of the minute of this instant, too. Unix milliseconds.',
    }),
  ),
}
type Query = Record<string, string | number | undefined> & { quota?: string; clientIp?: string; atMs?: number }

const Answer = Type.Object({
  allowed: Type.Boolean({ description: 'Whether the call would pass now.' }),
  summary: Type.String({ description: 'Why, in a sentence or two.' }),
  asOfMs: instant('Call records that arrived before are counted.'),
  quotas: Type.Array(
    Type.Object({
      quota: Type.String(),
      words: Type.String({
        description: 'What it allows, what was adjusted, what is used, whether the call fits; costs in the currency.',
      }),
      unit: Type.String(),
      limit: orNull(Type.Number(), 'With what was adjusted; null while the provider has not said it.'),
      override: orNull(Type.Number(), "The subject's own limit."),
      grants: Type.Array(Type.Object({ amount: Type.Number(), untilMs: Type.Number() }), {
        description: 'Added to the limit now.',
      }),
      forgiven: orNull(Type.Number(), 'Units that a reset forgave.'),
      used: Type.Number(),
      reserved: Type.Number(),
      remaining: orNull(Type.Number(), 'Null without a limit; 0 while the provider refuses calls.'),
      resetAtMs: instant('When all that is used now counts no more.'),
      enforcement: Type.String(),
      cost: Type.Number({ description: 'What the call takes of it.' }),
      fits: Type.Boolean(),
    }),
    { description: 'Every quota that covers the call.' },
  ),
  past: Type.Array(Type.String(), {
    description: 'What the quotas decided in the minute of `atMs`, one sentence each; sums come some ten seconds late.',
  }),
})
export type ExplainAnswer = Static<typeof Answer>

export interface ExplainDeps extends AskDeps {
  limiter: Limiter
  policy: () => Policy
  /** Sums of one bucket's decisions in the minute that begins then; rejects when the store does not answer. */
  readDecisions: (quota: string, subject: string, minuteMs: number) => Promise<DecisionSums[]>
}

/** A label that is named like a parameter cannot be stated. */
const statableLabels = (labelColumns: readonly string[]) =>
  labelColumns.filter(name => !(name in CALL_PARAMETERS) && !(name in OWN_PARAMETERS))

/** The route as any role describes it that hands it on. */
export function explainRoute(labelColumns: readonly string[]) {
  const labels = statableLabels(labelColumns).map(name => [name, Type.Optional(text('Of the call.'))])
  const parameters = { ...Object.fromEntries(labels), ...CALL_PARAMETERS, ...OWN_PARAMETERS }
  return {
    path: '/v1/explain',
    schema: {
      summary: 'Why is this call denied?',
      description:
        'Decides for the call without spending anything, and says why: every quota that covers it, overrides, ' +
        'grants, resets and blocks. With `atMs` it also tells what was decided in a minute that is past.',
      tags: ['limits'],
      querystring: Type.Object(parameters, { additionalProperties: false }),
      response: { 200: Answer },
    },
  }
}

export function createExplainRoutes(deps: ExplainDeps): Routes {
  const labels = statableLabels(deps.labelColumns)
  const { path, schema } = explainRoute(deps.labelColumns)
  return server => {
    server.get<{ Querystring: Query }>(path, { schema, config: { access: 'read' } }, request =>
      answer(deps, labels, request),
    )
  }
}

async function answer(
  deps: ExplainDeps,
  labels: readonly string[],
  request: FastifyRequest<{ Querystring: Query }>,
): Promise<Static<typeof Answer>> {
  const { limiter, policy } = deps
  const { tenant: own } = deps.principalOf(request)
  const { quota } = request.query
  const covered = quota === undefined ? {} : matchedBy(quotaAsked(policy(), quota, own))
  const call = toCall({ ...covered, ...(own === null ? {} : { tenant: own }), ...request.query }, labels)
  const prepared = limiter.prepare(toAsk(deps, request, call))
  const decision = await limiter.look(prepared)
  const { isAllowed, summary, quotas } = explain(prepared, decision, policy())
  const { atMs } = request.query
  return {
    allowed: isAllowed,
    summary,
    asOfMs: decision.asOfMs,
    quotas: quotas.map(toQuotaAnswer),
    past: atMs === undefined ? [] : await pastOf(deps, prepared, Math.floor(atMs / MINUTE_MS) * MINUTE_MS),
  }
}

/** Throws `DoorError` (404) where there is none that its caller may see. */
function quotaAsked(policy: Policy, name: string, own: string | null): Quota {
  const quota = policy.byName.get(name)
  if (!quota || !isSeenBy(own, quota))
    throw new DoorError(404, 'quota_unknown', `there is no quota ${name}; leave quota away to be told of all`)
  return quota
}

/** Dimensions of a call that the quota covers. */
const matchedBy = (quota: Quota): Query =>
  Object.fromEntries(
    Object.entries(quota.options.match).map(([name, patterns]) => {
      const [first = ''] = [patterns].flat()
      return [name, first.replace(/\*$/, '')]
    }),
  )

function toCall(query: Query, labels: readonly string[]) {
  const { tenant, consumer, clientIp } = query
  const dimensions: Record<string, string> = {}
  for (const name of [...DIMENSIONS.slice(2), ...labels]) {
    const value = query[name]
    if (typeof value === 'string') dimensions[name] = value
  }
  const cost: Record<string, number> = {}
  for (const unit of UNITS) {
    const amount = query[unit]
    if (typeof amount === 'number') cost[unit] = amount
  }
  const who = Object.entries({ tenant, consumer, clientIp }).filter(([, value]) => value !== undefined)
  return { ...Object.fromEntries(who), dimensions, cost }
}

function toQuotaAnswer(explained: QuotaExplanation): Static<typeof Answer>['quotas'][number] {
  const { grants, reset, learned: _learned, pace: _pace, countsLongerMs: _longer, ...rest } = explained
  return {
    ...rest,
    grants: grants.map(({ amount, untilMs }) => ({ amount, untilMs })),
    forgiven: reset?.used ?? null,
  }
}

async function pastOf({ readDecisions }: ExplainDeps, { ask, quotas }: Prepared, minuteMs: number): Promise<string[]> {
  const minute = `${new Date(minuteMs).toISOString().slice(0, 16)}Z`
  const told = quotas.map(async (quota: Quota) => {
    const subject = JSON.stringify(subjectMap(quota, subjectOf(quota, ask.dims)))
    const sums = await readDecisions(quota.name, subject, minuteMs).catch(() => null)
    if (sums === null) return `What ${quota.name} decided in ${minute} is not known: the store does not answer.`
    const [sum] = sums
    if (sum === undefined) return `${quota.name} decided nothing in ${minute}.`
    const { allowed, spent, deniedCost } = sum
    const refused =
      deniedCost === 0
        ? 'denied none'
        : `denied calls that asked for ${amountWords(deniedCost, quota.unit)} ${quota.unit}`
    return `In ${minute} ${quota.name} let ${allowed} calls pass, which took ${amountWords(spent, quota.unit)} ${quota.unit}, and ${refused}.`
  })
  return Promise.all(told)
}
