/** Quotas for tests, through the schema that config goes through. */
import Value from 'typebox/value'
import { noDimensions } from '../../analyzer/limit/http.ts'
import { type Dimensions, parseQuota, type Quota, QuotaOptions } from '../../analyzer/policy/quota.ts'

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

/** A call of the tenant `acme` of which nothing else is known but what the test says. */
export const callDimensions = (fields: Partial<Dimensions> = {}): Dimensions => ({
  ...noDimensions(),
  tenant: 'acme',
  ...fields,
})
