import { LogError } from './call-log.ts'

/** How long a handler may be silent before we no longer speak for it: a hung one has to lose its partition. */
const SILENT_MS_MAX = 300_000

export interface Heartbeats {
  /** The handler's own. Throws `LogError` when somebody else may have the partition. */
  beat(): Promise<void>
  /** The handler is alive, and needs no heartbeat for it. */
  touch(): void
  stop(): void
}

/** Speaks for a busy handler, so that one long insert does not cost the partition; not for ever. */
export function keepAlive(
  heartbeat: () => Promise<void>,
  membership: { everyMs: number; isLost(): boolean; lose(): void },
): Heartbeats {
  let heardAtMs = performance.now()
  const touch = (): void => {
    heardAtMs = performance.now()
  }
  const beat = async (): Promise<void> => {
    // That the group is rebalancing is no reason to stop: what is handled now can still be committed.
    await heartbeat().catch((error: unknown) => {
      if (isExpelled(error)) membership.lose()
    })
    if (membership.isLost()) throw new LogError('LOG_UNAVAILABLE', 'The partition belongs to another reader now')
  }
  const timer = setInterval(() => {
    if (performance.now() - heardAtMs < SILENT_MS_MAX) beat().catch(() => undefined)
  }, membership.everyMs)
  return {
    beat() {
      touch()
      return beat()
    },
    touch,
    stop: () => clearInterval(timer),
  }
}

function isExpelled(error: unknown): boolean {
  const type = error instanceof Error && 'type' in error ? error.type : null
  return type === 'UNKNOWN_MEMBER_ID' || type === 'ILLEGAL_GENERATION' || type === 'FENCED_INSTANCE_ID'
}
