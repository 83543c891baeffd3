/**
 * Stands before a limit store that several limiters share. While it does not answer, decisions are made by this limiter
 * alone; when it is back, what was let pass meanwhile is added to it, once.
 */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { decidedAlone, decisionsHandedOver, decisionsNotHandedOver } from '../events.ts'
import { createLastKnown, type LastKnown } from './last-known.ts'
import { type DecideRequest, type LimitStore, LimitStoreError, type StoreDecision } from './limit-store.ts'
import { createLocalCounters, type LocalCounters } from './local-counters.ts'
import type { SharedLimitStore } from './shared-limit-store.ts'

/** How often it is looked whether what was let pass can be added now. */
const HAND_OVER_MS = 100
/** By when something is given back that was reserved without saying so. */
const HELD_MS_USUAL = 120_000

/** `LIMITS_UNAVAILABLE` does not come out of it: the answer is approximate instead. */
export function createStandIn(store: SharedLimitStore, deps: { log: Logger }): LimitStore {
  const lastKnown = createLastKnown()
  /** Kept while the store answers no decision, though it adds: of what was let pass and added nothing else would know. */
  let alone: LocalCounters | null = null
  let isAnswering = false
  /** Since when something is let pass that is not added; null when all of it is. */
  let beganMs: number | null = null
  let handingOver: Promise<void> | null = null
  let lastReason = ''

  const handOver = async (counters: LocalCounters, sinceMs: number) => {
    let added = 0
    for (let step = counters.handOver(store.nowMs()); step !== null; step = counters.handOver(store.nowMs())) {
      await store.add(step.id, step.additions, sinceMs)
      step.done()
      for (const addition of step.additions) lastKnown.added(addition, store.nowMs())
      added += step.additions.length
    }
    if (added > 0) decisionsHandedOver(deps.log, added)
    lastReason = ''
    if (isAnswering && beganMs === null) alone = null
  }
  const handOverIfPossible = () => {
    const hasNothing = beganMs === null && !isAnswering
    if (alone === null || hasNothing || handingOver !== null || store.unavailable() !== null) return
    const sinceMs = beganMs ?? store.nowMs()
    beganMs = null
    handingOver = handOver(alone, sinceMs)
      .catch(() => {
        // What failed is tried again; why is said by the store.
        beganMs = sinceMs
      })
      .finally(() => {
        handingOver = null
      })
  }
  const timer = setInterval(handOverIfPossible, HAND_OVER_MS)

  return {
    ...store,
    async decide(request) {
      let decided: StoreDecision
      try {
        decided = await store.decide(request)
      } catch (error) {
        if (!(error instanceof LimitStoreError) || error.code !== 'LIMITS_UNAVAILABLE') throw error
        decidedAlone(deps.log, error.message, error.message !== lastReason)
        lastReason = error.message
        const nowMs = store.nowMs()
        alone ??= createLocalCounters(randomUUID(), lastKnown, nowMs)
        isAnswering = false
        const passed = alone.decide(request, nowMs)
        if (passed.isAllowed) beganMs ??= nowMs
        return passed
      }
      isAnswering = true
      note(lastKnown, request, decided, store.nowMs())
      handOverIfPossible()
      return decided
    },
    async close() {
      clearInterval(timer)
      handOverIfPossible()
      await handingOver
      if (beganMs !== null) decisionsNotHandedOver(deps.log)
      await store.close()
    },
  }
}

function note(
  lastKnown: LastKnown,
  { claims, expiresAtMs }: DecideRequest,
  { standings }: StoreDecision,
  atMs: number,
): void {
  const at = { atMs, heldUntilMs: expiresAtMs ?? atMs + HELD_MS_USUAL }
  for (let index = 0; index < claims.length; index += 1) {
    const claim = claims[index]
    const standing = standings[index]
    if (claim !== undefined && standing !== undefined) lastKnown.note(claim, standing, at)
  }
}
