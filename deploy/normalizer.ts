import { createIdentity } from '../collector/identity.ts'
import { createNormalizer, type Normalizer } from '../collector/normalize/normalize.ts'
import { createPrices } from '../collector/prices.ts'
import type { Config } from './config-schema.ts'

/** Normalizes as the collector of this config does. */
export const normalizerOf = (
  { keys, prices, collector, mappings }: Config,
  fingerprintKeys: readonly string[],
): Normalizer =>
  createNormalizer({
    identity: createIdentity({ fingerprintKeys, keys }),
    prices: createPrices(prices),
    clientIp: collector.clientIp,
    mappings,
    routes: collector.routes,
  })
