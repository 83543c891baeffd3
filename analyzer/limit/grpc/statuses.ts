/**
 * Which quotas a statement about a call concerns: those that name a dimension it states, and those that name none that
 * any statement of the call states. From that follow what a quota is charged, and which one a status shows.
 */
import type { Quota } from '../../policy/quota.ts'
import { roomFor } from '../claiming.ts'
import type { Decision, Prepared } from '../limiter.ts'
import { fieldBit, type Statement } from './descriptors.ts'
import { CODE, type DescriptorStatus } from './rls-messages.ts'
import { windowUnit } from './window-unit.ts'

const fieldsOfQuota = new WeakMap<Quota, number>()

function fieldsOf(quota: Quota): number {
  const known = fieldsOfQuota.get(quota)
  if (known !== undefined) return known
  let fields = 0
  for (const { field } of [...quota.conditions, ...quota.per]) fields |= fieldBit(field)
  fieldsOfQuota.set(quota, fields)
  return fields
}

/** `stated` is what all statements of the call state. */
function concerns(statement: Statement, quota: Quota, stated: number): boolean {
  const fields = fieldsOf(quota)
  return (fields & stated) === 0 || (fields & statement.fields) !== 0
}

/**
 * The call at the cost that `statements` give it: in each quota the largest one, since they tell of one call. Without any
 * cost it is a look, which spends nothing.
 */
export function withCosts(prepared: Prepared, statements: readonly Statement[], stated: number): Prepared {
  const claims = prepared.claims.map((claim, index) => {
    const quota = prepared.quotas[index]
    const cost = quota === undefined ? claim.cost : costOf(quota, statements, stated)
    if (cost === claim.cost) return claim
    return { ...claim, cost, limit: quota === undefined ? claim.limit : roomFor(quota, claim.limit, cost) }
  })
  const isLook = statements.every(({ hits }) => hits === 0)
  return { ...prepared, claims, ask: isLook ? { ...prepared.ask, isDryRun: true } : prepared.ask }
}

function costOf(quota: Quota, statements: readonly Statement[], stated: number): number {
  // A call under way is one, whatever number of requests it stands for.
  const isHeld = quota.unit === 'concurrent_requests'
  const unit = isHeld ? 'requests' : quota.unit
  let cost = Number.NEGATIVE_INFINITY
  for (const statement of statements) {
    if (statement.unit === unit && concerns(statement, quota, stated)) cost = Math.max(cost, statement.hits)
  }
  if (cost === Number.NEGATIVE_INFINITY) return 0
  return isHeld ? Math.sign(cost) : cost
}

/** Answers the status of one statement after the other. Each quota is shown once, as Envoy lists for the client what it is told. */
type StatusOf = (statement: Statement, decision: Decision) => DescriptorStatus

export function createStatusOf({ quotas }: Prepared, stated: number): StatusOf {
  const shown: Quota[] = []
  return (statement, decision) => {
    const { violated, isAllowed, nowMs } = decision
    // Blocked, or decided without the store: no quota tells more, and all statements share the answer.
    let isOver = !isAllowed && (decision.quotas.length === 0 || violated.length === 0)
    let best = Number.POSITIVE_INFINITY
    let tells: { quota: Quota; limit: number; remaining: number; resetAtMs: number } | null = null
    for (let index = 0; index < decision.quotas.length; index += 1) {
      const quota = quotas[index]
      const standing = decision.quotas[index]
      if (quota === undefined || standing === undefined || standing.enforcement === 'shadow') continue
      if (!concerns(statement, quota, stated)) continue
      const isInTheWay = violated.includes(quota.name)
      isOver ||= isInTheWay
      if (standing.limit === null || standing.remaining === null) continue
      const { limit, remaining, resetAtMs } = standing
      const rank = rankOf(remaining / Math.max(1, limit), isInTheWay, standing.unit === statement.unit)
      if (rank >= best || shown.includes(quota)) continue
      best = rank
      tells = { quota, limit, remaining, resetAtMs }
    }
    const code = isOver ? CODE.overLimit : CODE.ok
    if (tells === null) return { code, limit: null }
    const { quota, limit: perUnit, remaining, resetAtMs } = tells
    shown.push(quota)
    const unit = windowUnit(quota.window)
    return { code, limit: { name: quota.name, perUnit, unit, remaining, resetMs: resetAtMs - nowMs } }
  }
}

/** Lowest first: what is in the way, then what is in the statement's own unit, of both that of which the smaller share is left. */
const rankOf = (shareLeft: number, isInTheWay: boolean, isOwnUnit: boolean) =>
  shareLeft + (isInTheWay ? 0 : 4) + (isOwnUnit ? 0 : 2)
