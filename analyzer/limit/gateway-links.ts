/**
 * Which gateways ask and also write call records that carry no id. Their calls are counted once all the same, but only
 * as the larger of the two sums: handing the id on makes the count exact.
 */

/** Gateways that are told apart at once; the others are not watched. */
const GATEWAYS_MAX = 1_000
/** What was seen in so long is forgotten after as long again: a gateway that was mended, or is gone, is named no more. */
const HALF_MS = 3_600_000

interface Counts {
  checks: number
  recordsWithoutId: number
}

interface UnlinkedGateway extends Counts {
  gateway: string
  hint: string
}

export interface GatewayLinks {
  checked(gateway: string): void
  recordedWithoutId(gateway: string): void
  /** Gateways that ask and do not hand the decision's id on. */
  unlinked(): UnlinkedGateway[]
}

export function createGatewayLinks(now: () => number = Date.now): GatewayLinks {
  let recent = new Map<string, Counts>()
  let older = new Map<string, Counts>()
  let sinceMs = now()
  const of = (gateway: string) => {
    const known = recent.get(gateway)
    if (known !== undefined) return known
    const fresh = { checks: 0, recordsWithoutId: 0 }
    if (recent.size < GATEWAYS_MAX) recent.set(gateway, fresh)
    return fresh
  }
  /** Not with each check: they are many, and alone they name nobody. */
  const turn = () => {
    const ageMs = now() - sinceMs
    if (ageMs < HALF_MS) return
    older = ageMs < 2 * HALF_MS ? recent : new Map()
    recent = new Map()
    sinceMs = now()
  }
  return {
    checked(gateway) {
      of(gateway).checks += 1
    },
    recordedWithoutId(gateway) {
      turn()
      of(gateway).recordsWithoutId += 1
    },
    unlinked() {
      turn()
      return [...new Set([...older.keys(), ...recent.keys()])]
        .map(gateway => ({ gateway, ...sumOf(older.get(gateway), recent.get(gateway)), hint: hintFor(gateway) }))
        .filter(({ checks, recordsWithoutId }) => checks > 0 && recordsWithoutId > 0)
    },
  }
}

const NONE: Counts = { checks: 0, recordsWithoutId: 0 }
const sumOf = (one: Counts = NONE, other: Counts = NONE): Counts => ({
  checks: one.checks + other.checks,
  recordsWithoutId: one.recordsWithoutId + other.recordsWithoutId,
})

const hintFor = (gateway: string) =>
  `${gateway === '' ? 'A gateway without a name' : gateway} asks, but its call records carry no id, so the larger of ` +
  'checks and records counts. Log the answer\'s "decisionId" (forward-auth: header X-Quotacast-Decision-Id) as the ' +
  'record\'s "decisionId", or send the same request id with the check (X-Quotacast-Request-Id) and in the record.'
