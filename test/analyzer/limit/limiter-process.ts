/**
 * A limiter of its own for the test that kills it: settles from the log, checks as fast as it can, and says each
 * decision on stdout before the next. Run with one argument, the JSON of `LimiterProcess`.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createDecisionIds } from '../../../analyzer/limit/decision-id.ts'
import { openLimitStore } from '../../../analyzer/limit/open.ts'
import { startSettler } from '../../../analyzer/limit/settler.ts'
import { createPolicy } from '../../../analyzer/policy/policy.ts'
import { bucketAt } from '../../../analyzer/usage/window.ts'
import { claim, request } from '../../contract/limit-store.ts'
import { openLog, quota, silent } from './call-records.ts'

export interface LimiterProcess {
  logDir: string
  limitsDir: string
  key: string
  /** What each check estimates. */
  estimate: number
}

const task: LimiterProcess = JSON.parse(process.argv[2] ?? '')
const log = await openLog(task.logDir)
const options = { kind: 'embedded', flushMs: 20, bucketsMax: 1_000, requestsMax: 1_000 } as const
const store = await openLimitStore(options, { dir: task.limitsDir, log: silent })
const decisionIds = createDecisionIds([task.key])
const one = quota({ limit: 1e12, window: { kind: 'fixed', everySeconds: 10 * 365 * 86_400 } })
startSettler({
  log,
  store,
  policy: () => createPolicy([one]),
  labelColumns: [],
  decisionIds,
  callIdBytesMax: 2 ** 22,
  onRecordWithoutId: () => undefined,
  onApplied: () => undefined,
  logger: silent,
})
const spent = claim({ series: one.series, subject: 'web', ...bucketAt(one.window, Date.now()), limit: 1e12 })
for (;;) {
  const { reference } = await store.decide(request([{ ...spent, cost: task.estimate }]))
  if (reference !== null) await say(`${decisionIds.encode(reference)}\n`)
  await nextTurn()
}

/** Resolves when the line has left the process: a kill cannot take it back. */
function say(line: string): Promise<void> {
  return new Promise(resolve => process.stdout.write(line, () => resolve()))
}
