/** How long changes stay in the table `audit`, by the config: the alerts and paces that the analyzer changes are ever new ones. */
import Type from 'typebox'
import type { Store } from './open.ts'
import { CALLS_RETENTION_DAYS } from './tables.ts'

const DAY_SECONDS = 86_400

export const AuditRetentionSeconds = Type.Integer({
  default: 400 * DAY_SECONDS,
  // Calls are read together with the changes of their time.
  minimum: CALLS_RETENTION_DAYS * DAY_SECONDS,
  // The end of a row's time must be before 2106, to which a TTL counts.
  maximum: 3_650 * DAY_SECONDS,
  description:
    'How long changes stay in the table `audit`, those from before included; the newest values, which are held elsewhere, go on holding. Changes of quotas stay for ever: boards take from them which there are.',
})

/** Does nothing where it is so. Throws what the store's client throws. */
export async function keepAudit(store: Store, retentionSeconds: number): Promise<void> {
  const ttl = `toDateTime(at) + toIntervalSecond(${retentionSeconds}) WHERE kind NOT IN ('quota', 'quota_config')`
  const result = await store.client.query({
    query: "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'audit'",
    format: 'JSONEachRow',
  })
  const [table] = await result.json<{ engine_full: string }>()
  if (table?.engine_full.includes(`TTL ${ttl} `)) return
  await store.client.command({ query: `ALTER TABLE audit MODIFY TTL ${ttl} SETTINGS materialize_ttl_after_modify = 0` })
  // Rows from before go in the background: nobody waits for them.
  await store.client.command({ query: 'ALTER TABLE audit MATERIALIZE TTL SETTINGS mutations_sync = 0' })
}
