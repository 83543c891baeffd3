/** What was decided elsewhere and has to be counted in Redis, in steps that are short for it. */

import { CALL_MS_MAX, type RedisConnection } from './redis-connection.ts'
import { encodeAdditions, toNumbers } from './redis-encoding.ts'
import type { Addition, SharedLimitStore } from './shared-limit-store.ts'

/** Costs of one step: a few milliseconds. */
const COSTS_MAX = 250

export interface AddingDeps {
  connection: RedisConnection
  bucketsMax: number
  onBucketCount: (count: number) => void
}

export type Adding = Pick<SharedLimitStore, 'raise' | 'add'>

export function createAdding(deps: AddingDeps): Adding {
  const run = async (how: 'add' | 'raise', id: string, costs: readonly Addition[], beganMs: number) => {
    for (let at = 0; at < costs.length; at += COSTS_MAX) {
      const step = encodeAdditions(costs.slice(at, at + COSTS_MAX))
      const args = [how, id === '' ? '' : `${id}:${at}`, step, String(deps.bucketsMax), String(beganMs)]
      const [count = 0] = toNumbers(await deps.connection.runForBytes('add', args, CALL_MS_MAX))
      deps.onBucketCount(count)
    }
  }
  return {
    add: (id, additions, beganMs) => run('add', id, additions, beganMs),
    raise: floors =>
      run(
        'raise',
        '',
        floors.map(floor => ({ ...floor, gateway: '' })),
        0,
      ),
  }
}
