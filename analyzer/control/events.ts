/** What the log says of changes. */
import type { Logger } from 'pino'

/** Changes that are told one by one; of more at once, how many there are of each kind. */
const CHANGES_TOLD_MAX = 10

/** What may be changed at run time has changed. */
export function controlChanged(
  log: Logger,
  changes: readonly { kind: string; key: string; version: number; by: string }[],
): void {
  const isMany = changes.length > CHANGES_TOLD_MAX
  const counts: Record<string, number> = {}
  for (const { kind, key, version, by } of changes) {
    counts[kind] = (counts[kind] ?? 0) + 1
    log[isMany ? 'debug' : 'info']({ kind, key, version, by }, 'control changed')
  }
  if (isMany) log.info({ changes: changes.length, ...counts }, 'control changed')
}
