/**
 * Which gateways ask and also write call records that carry no id. Their calls are counted once all the same, but only
 * as the larger of the two sums: handing the id on makes the count exact.
 */

/** Gateways that are told apart; the others are not watched. */
const GATEWAYS_MAX = 1_000

interface UnlinkedGateway {
  gateway: string
  checks: number
  recordsWithoutId: number
  hint: string
}

export interface GatewayLinks {
  checked(gateway: string): void
  recordedWithoutId(gateway: string): void
  /** Gateways that ask and do not hand the decision's id on, since the start. */
  unlinked(): UnlinkedGateway[]
}

export function createGatewayLinks(): GatewayLinks {
  const seen = new Map<string, { checks: number; recordsWithoutId: number }>()
  const of = (gateway: string) => {
    const known = seen.get(gateway)
    if (known !== undefined) return known
    const fresh = { checks: 0, recordsWithoutId: 0 }
    if (seen.size < GATEWAYS_MAX) seen.set(gateway, fresh)
    return fresh
  }
  return {
    checked(gateway) {
      of(gateway).checks += 1
    },
    recordedWithoutId(gateway) {
      of(gateway).recordsWithoutId += 1
    },
    unlinked: () =>
      [...seen]
        .filter(([, { checks, recordsWithoutId }]) => checks > 0 && recordsWithoutId > 0)
        .map(([gateway, counts]) => ({ gateway, ...counts, hint: hintFor(gateway) })),
  }
}

const hintFor = (gateway: string) =>
  `${gateway === '' ? 'A gateway without a name' : gateway} asks, but its call records carry no id, so the larger of ` +
  'checks and records counts. Log the answer\'s "decisionId" (forward-auth: header X-Quotacast-Decision-Id) as the ' +
  'record\'s "decisionId", or send the same request id with the check (X-Quotacast-Request-Id) and in the record.'
