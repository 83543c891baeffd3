import type { LimitStore } from './limit-store.ts'
import type { LimitStoreDeps, LimitsOptions } from './limits-options.ts'
import { createStandIn } from './stand-in.ts'

/** Opens the configured limit store. Throws `LimitStoreError`. */
export async function openLimitStore(options: LimitsOptions, deps: LimitStoreDeps): Promise<LimitStore> {
  switch (options.kind) {
    case 'embedded': {
      const { openEmbeddedLimits } = await import('./embedded.ts')
      return openEmbeddedLimits(options, deps)
    }
    case 'redis': {
      const { openRedisLimits } = await import('./redis.ts')
      return createStandIn(await openRedisLimits(options, deps), deps)
    }
  }
}
