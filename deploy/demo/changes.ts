/** Changes of limits that somebody makes in the demo, so that dashboards have some to show. */
import type { Grant, Override } from '../../analyzer/policy/adjustment.ts'
import type { Config } from '../config-schema.ts'
import { type Listed, readListed } from '../listed.ts'
import { putJson } from '../role-client.ts'

const HALF_HOUR_MS = 30 * 60_000
const DAY_MS = 24 * 60 * 60_000
const QUOTA = 'demo-requests-per-day'
const GROWING = { tenant: 'demo-growing', consumer: 'demo-growing-app' }
const OFFICE = { tenant: 'demo-office', consumer: 'demo-office-assistant' }
/** By turns. */
const LIMITS = [3_000, 3_400] as const
const GRANTED = 400

/** Another limit every half hour, and a grant every day. Throws `RoleError` while the analyzer is away. */
export async function changeLimits(config: Config, nowMs: number): Promise<void> {
  const limit = LIMITS[Math.floor(nowMs / HALF_HOUR_MS) % LIMITS.length] ?? LIMITS[0]
  const override: Override = { quota: QUOTA, subject: GROWING, limit }
  await change<Override>(config, 'overrides', 'demo-growing', override, 'demo: the app grows')
  const fromMs = nowMs - (nowMs % DAY_MS)
  const grant: Grant = { quota: QUOTA, subject: OFFICE, amount: GRANTED, fromMs, untilMs: fromMs + DAY_MS }
  await change<Grant>(config, 'grants', 'demo-office', grant, 'demo: a busy day')
}

/** Does nothing where it holds already. */
async function change<T>(
  config: Config,
  kind: 'overrides' | 'grants',
  key: string,
  value: T,
  reason: string,
): Promise<void> {
  const present = await find<T>(config, kind, key)
  if (JSON.stringify(present?.value) === JSON.stringify(value)) return
  await putJson('analyzer', `/v1/${kind}/${key}`, config, { version: present?.version ?? 0, value, reason })
}

async function find<T>(config: Config, kind: 'overrides' | 'grants', key: string): Promise<Listed<T> | undefined> {
  for await (const listed of readListed<T>(kind, config)) if (listed.key === key) return listed
  return undefined
}
