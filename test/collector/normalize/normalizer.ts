/** A normalizer for tests, and the delivery of one input. */
import { createIdentity, type KeyEntry } from '../../../collector/identity.ts'
import { canonical } from '../../../collector/normalize/canonical.ts'
import type { ClientIpPolicy } from '../../../collector/normalize/client-ip.ts'
import { NO_CONTEXT } from '../../../collector/normalize/draft.ts'
import type { MappingOptions } from '../../../collector/normalize/mapping.ts'
import { createNormalizer, type Normalizer } from '../../../collector/normalize/normalize.ts'
import type { Delivery } from '../../../collector/normalize/record.ts'
import type { RoutePatternOptions } from '../../../collector/normalize/route-patterns.ts'
import { createPrices, type PriceEntry } from '../../../collector/prices.ts'

export const identityFor = (keys: KeyEntry[] = []) => createIdentity({ fingerprintKeys: ['a key of the tests'], keys })

export const normalizerFor = (
  options: {
    mappings?: MappingOptions
    prices?: PriceEntry[]
    keys?: KeyEntry[]
    clientIp?: ClientIpPolicy
    routes?: RoutePatternOptions
  } = {},
): Normalizer =>
  createNormalizer({
    identity: identityFor(options.keys),
    prices: createPrices(options.prices ?? []),
    clientIp: options.clientIp ?? 'truncated',
    mappings: options.mappings ?? {},
    routes: options.routes ?? [],
  })

export const ARRIVED_AT_MS = 1_700_200_000_000

export const deliveryOf = (input: unknown, more: Partial<Delivery> = {}): Delivery => ({
  source: 'canonical',
  dialect: 'canonical',
  arrivedAtMs: ARRIVED_AT_MS,
  gateway: null,
  tenant: null,
  restriction: null,
  shiftMs: 0,
  fileStem: null,
  columns: null,
  keyAt: position => `test ${position} ${JSON.stringify(input)}`,
  inputAt: () => (typeof input === 'string' ? input : JSON.stringify(input)),
  ...more,
})

/** One input through the canonical dialect. */
export function normalizeCanonical(normalizer: Normalizer, input: unknown, more: Partial<Delivery> = {}) {
  const decoded = canonical.open(NO_CONTEXT)(input)
  if (decoded.kind === 'skip') throw new Error('nothing canonical is skipped')
  return normalizer.normalize(decoded, deliveryOf(input, more), 0)
}
