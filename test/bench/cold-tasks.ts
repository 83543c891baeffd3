/** Tasks of keys of which one day is known, in the scorer's form: its own have at least two. */
import { firstUseMs, reachedMs, totalBetween } from '../../analyzer/forecast/history.ts'
import { uniform } from '../../analyzer/forecast/random.ts'
import { readSeries, seedOf } from '../train/questions.ts'

const DAY_MS = 86_400_000
const WINDOWS = 4
const FRACTIONS = 6
const SETS = ['servegen-req', 'servegen-tok', 'm4h', 'web']
const LIMIT_MIN = 20

/** Day windows whose limit is near what the one known day used. */
export function coldTasks(data: string): { tasks: object[]; truth: object[] } {
  const tasks: object[] = []
  const truth: object[] = []
  for (const { id, set, values, history } of readSeries(data)) {
    if (!SETS.includes(set)) continue
    const { startMs, stepMs } = history
    const random = uniform(seedOf(`${id} cold`))
    const gauss = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
    const firstMs = Math.ceil((firstUseMs(history) + DAY_MS) / DAY_MS) * DAY_MS
    const days = Math.floor((history.endMs - firstMs) / DAY_MS) - 1
    for (let window = 0; window < WINDOWS && days > 0; window++) {
      const fromMs = firstMs + Math.floor(random() * days) * DAY_MS
      const known = totalBetween(history, fromMs - DAY_MS, fromMs)
      const limit = Math.round(known * Math.exp(0.4 * gauss()))
      if (limit < LIMIT_MIN) continue
      const series = `${id}@${window}`
      const stepAt = (atMs: number) => Math.round((atMs - startMs) / stepMs)
      tasks.push({ kind: 'series', series, step: stepMs / 1000, start: (fromMs - DAY_MS) / 1000, unit: 'unknown' })
      const reachedAtMs = reachedMs(history, fromMs, limit)
      let sentMs = fromMs - DAY_MS
      for (let k = 0; k < FRACTIONS; k++) {
        const nowMs = fromMs + (k * DAY_MS) / FRACTIONS
        const used = totalBetween(history, fromMs, nowMs)
        if (used >= limit) break
        tasks.push({ kind: 'obs', series, values: Array.from(values.subarray(stepAt(sentMs), stepAt(nowMs))) })
        sentMs = nowMs
        const taskId = `${series}@${k}`
        const bounds = { window_start: fromMs / 1000, window_end: (fromMs + DAY_MS) / 1000 }
        tasks.push({ kind: 'task', id: taskId, series, now: nowMs / 1000, used, limit, ...bounds })
        const eta = reachedAtMs < fromMs + DAY_MS ? (reachedAtMs - nowMs) / 1000 : null
        const elapsed = (nowMs - fromMs) / 1000
        truth.push({
          id: taskId,
          episode: series,
          set,
          window: 'day',
          split: 'dev',
          k,
          elapsed,
          left: DAY_MS / 1000 - elapsed,
          eta,
        })
      }
    }
  }
  return { tasks, truth }
}
