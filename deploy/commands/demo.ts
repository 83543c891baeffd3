import { setTimeout as sleep } from 'node:timers/promises'
import { parseQuota } from '../../analyzer/policy/quota.ts'
import type { Command } from '../command.ts'
import type { Config } from '../config-schema.ts'
import { MINUTE_MS } from '../demo/calls.ts'
import { changeLimits } from '../demo/changes.ts'
import { fillLog } from '../demo/fill.ts'
import { type DemoState, floorMinute, openDemoFolder, saveDemoState } from '../demo/folder.ts'
import { keepPastForecasts } from '../demo/forecast-history.ts'
import { DEMO_DAYS } from '../demo/habits.ts'
import { goLive } from '../demo/live.ts'
import { thousands } from '../import-progress.ts'
import { createLifecycle } from '../lifecycle.ts'
import { createLogger } from '../logging.ts'
import { openLogOf, openStoreOf } from '../open-data.ts'
import { getJson, RoleError } from '../role-client.ts'
import { openSecrets } from '../secrets.ts'

const DAY_MS = 24 * 60 * MINUTE_MS
const POLL_MS = 200
/** What the collector gets to store what was filled. */
const STORE_DEADLINE_MS = 120_000

export const command: Command = {
  usage: '',
  description:
    `Makes the synthetic calls of the demo: first those of the last ${DEMO_DAYS} days, or since it last ran, then each at ` +
    'its time through the collector and the limiter. `up --demo` runs it beside the roles.',
  options: {
    'fill-only': { type: 'boolean', description: 'Ends when the past is in the store, with its forecasts.' },
  },
  examples: ['demo --config deploy/demo/demo.yaml', 'demo --config deploy/demo/demo.yaml --fill-only'],
  async run(invocation) {
    const config = await invocation.config()
    const logger = createLogger({ role: 'demo' }, config.logging.level)
    const lifecycle = createLifecycle({ log: logger, process })
    const stop = new AbortController()
    const begun = openDemoFolder(config, Date.now())
    const context: Context = { config, logger, signal: stop.signal }
    const work = invocation.isSet('fill-only')
      ? fillPast(begun, context).then(calls => invocation.print(filledText(calls)))
      : stayLive(begun, context)
    lifecycle.onStop('demo', () => {
      stop.abort()
      return work
    })
    await Promise.race([work, lifecycle.stopped])
    if (!stop.signal.aborted) return 0
    const exitCode = await lifecycle.stopped
    return invocation.isSet('fill-only') ? 1 : exitCode
  },
}

interface Context {
  config: Config
  logger: ReturnType<typeof createLogger>
  signal: AbortSignal
}

const filledText = (calls: number) => `The demo's past is there: ${thousands(calls)} synthetic calls.`

/** Everything until now, in the store. What was interrupted begins again: equal calls have equal ids. */
async function fillPast(state: DemoState, context: Context): Promise<number> {
  const { config, signal } = context
  const { calls, toMs } = await fillUntilNow(state, context)
  await untilStored(config, signal)
  if (signal.aborted) return calls
  const store = await openStoreOf(config, context.logger)
  try {
    await keepPastForecasts(store, quotasOf(config), { fromMs: state.filledToMs, toMs })
  } finally {
    await store.close()
  }
  saveDemoState(config.dataDir, { ...state, filledToMs: toMs })
  return calls
}

const quotasOf = ({ quotas, labels }: Config) => quotas.map(quota => parseQuota(quota, labels))

/** Answers how many calls, and until when. */
async function fillUntilNow(
  { originMs, filledToMs }: DemoState,
  { config, logger, signal }: Context,
): Promise<{ calls: number; toMs: number }> {
  const log = await openLogOf(config, logger)
  try {
    const { fingerprintKeys } = openSecrets(config.dataDir, config.secrets)
    const toMs = floorMinute(Date.now())
    // What was not filled for longer than that is left empty.
    const fromMs = Math.max(filledToMs, toMs - DEMO_DAYS * DAY_MS)
    const deps = { config, quotas: quotasOf(config), fingerprintKeys, log, logger, signal }
    return { calls: await fillLog({ fromMs, toMs, originMs }, deps), toMs }
  } finally {
    await log.close()
  }
}

/** Resolves when the collector has stored all that is in the log. Throws `RoleError` when it does not get there. */
async function untilStored(config: Config, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + STORE_DEADLINE_MS
  while (!signal.aborted) {
    const status = (await getJson('collector', '/v1/status', config).catch(() => null)) as {
      lag: { entries: number }[] | null
    } | null
    if (status?.lag?.every(({ entries }) => entries === 0)) return
    if (performance.now() > deadlineMs)
      throw new RoleError('the collector has not stored the calls of the demo: is it running?')
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined)
  }
}

/** Catches up with now, and goes on. */
async function stayLive(state: DemoState, context: Context): Promise<void> {
  const { config, logger, signal } = context
  const { toMs } = await fillUntilNow(state, context)
  await goLive(toMs, {
    config,
    originMs: state.originMs,
    logger,
    now: Date.now,
    signal,
    async onMinute(minuteMs) {
      saveDemoState(config.dataDir, { ...state, filledToMs: minuteMs })
      await changeLimits(config, minuteMs)
    },
  })
}
