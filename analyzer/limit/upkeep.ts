/** What keeps counters true: records settle, the store corrects, what was lost is rebuilt. One process a machine does it. */
import { readDecisions } from '../usage/decisions.ts'
import { isRecordedUpTo, type RecordedQuery, readRecorded, recordedSinceMs } from '../usage/recorded.ts'
import { startRebuilder } from './rebuild.ts'
import { type Reconciler, startReconciler } from './reconcile.ts'
import { type Settler, type SettlerDeps, startSettler, startSettlerElsewhere } from './settler.ts'

export interface UpkeepDeps extends SettlerDeps {
  client: Parameters<typeof readDecisions>[0]
  reconcileMs: number
  /** Has the sums of decisions written to the log. */
  handOn: () => Promise<void>
}

export interface Upkeep {
  settler: Settler
  reconciler: Pick<Reconciler, 'status'>
  close(): Promise<void>
}

/** Begins at once, whether or not log and store are there. */
export function startUpkeep(deps: UpkeepDeps): Upkeep {
  const { client, store, log, policy, logger, handOn } = deps
  const settler = startSettler({ ...deps, logger: logger.child({ part: 'settler' }) })
  const recorded = {
    costs: (query: RecordedQuery) => readRecorded(client, query),
    isUpTo: (position: Parameters<typeof isRecordedUpTo>[1]) => isRecordedUpTo(client, position),
    keptSinceMs: recordedSinceMs,
  }
  const everyMs = deps.reconcileMs
  const reconciler = startReconciler({
    ...{ log, store, policy, recorded, everyMs },
    logger: logger.child({ part: 'reconcile' }),
  })
  const rebuilder = startRebuilder({
    ...{ store, policy, recorded, handOn },
    readDecisions: (ask, handle) => readDecisions(client, ask, handle),
    logger: logger.child({ part: 'rebuild' }),
  })
  return {
    settler,
    reconciler,
    close: async () => void (await Promise.all([settler.close(), reconciler.close(), rebuilder.close()])),
  }
}

/** Another process of this machine does it. */
export function upkeepElsewhere(deps: Pick<UpkeepDeps, 'log' | 'store'>): Upkeep {
  const settler = startSettlerElsewhere(deps)
  const status = () => ({ comparedAtMs: null, skipped: 'another process of this machine compares' })
  return { settler, reconciler: { status }, close: settler.close }
}
