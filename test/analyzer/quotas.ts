/** Quotas for tests, through the schema that config goes through. */
import assert from 'node:assert/strict'
import Value from 'typebox/value'
import { noDimensions } from '../../analyzer/limit/http.ts'
import { type Dimensions, parseQuota, type Quota } from '../../analyzer/policy/quota.ts'
import { QuotaOptions } from '../../analyzer/policy/quota-options.ts'
import { hasReset, type ResettingQuota } from '../../analyzer/tick/followed-quota.ts'

/** A quota with the options that the test cares about; the rest is as config would default it. */
export const testQuota = (options: Record<string, unknown>, labelColumns: readonly string[] = []): Quota =>
  parseQuota(
    Value.Parse(
      QuotaOptions,
      Value.Default(QuotaOptions, {
        name: 'quota',
        per: ['tenant', 'consumer'],
        unit: 'requests',
        limit: 1_000,
        window: { kind: 'fixed', everySeconds: 3600 },
        ...options,
      }),
    ),
    labelColumns,
  )

/** The same with a window that resets. */
export function resettingQuota(options: Record<string, unknown>): ResettingQuota {
  const quota = testQuota(options)
  assert(hasReset(quota), 'the test asks for a window that resets')
  return quota
}

/** A call of the tenant `acme` of which nothing else is known but what the test says. */
export const callDimensions = (fields: Partial<Dimensions> = {}): Dimensions => ({
  ...noDimensions(),
  tenant: 'acme',
  ...fields,
})
