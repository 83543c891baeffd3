/** How much a score owes to which clients happen to be in the data: the same forecasts, scored with clients drawn again. */
import { readFileSync } from 'node:fs'
import { uniform } from '../../analyzer/forecast/random.ts'

const DRAWS = 1_000
const SEED = 7
/** Of a set of fewer clients its windows are drawn instead. */
const CLIENTS_MIN = 10
/** Where the public scorer clips probabilities for the log loss. */
const CLIP = 0.005

interface Truth {
  id: string
  episode: string
  set: string
  window: string
  /** Seconds until the limit was reached; `null` when it was not. */
  eta: number | null
}

interface Sum {
  brier: number
  logLoss: number
  count: number
}

interface Spread {
  mean: number
  deviation: number
}

const linesOf = <T>(file: string): T[] =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as T)

/** Requests and tokens of one client are one. */
const clientOf = ({ id }: Truth): string => id.replace(/@.*/, '').replace(/-(req|tok)\b/g, '')

/** The scorer's means over groups of series and windows, and their standard deviations over what could have been drawn. */
export function resampled(truthFile: string, answersFile: string): { brier: Spread; logLoss: Spread } {
  const truths = linesOf<Truth>(truthFile)
  const said = new Map(linesOf<{ id: string; p_exhaust: number }>(answersFile).map(one => [one.id, one.p_exhaust]))
  const sets = Map.groupBy(truths, one => one.set.replace(/-(req|tok)$/, ''))
  const clusters = Array.from(sets.values(), some => {
    const clients = Map.groupBy(some, clientOf)
    const drawn = clients.size < CLIENTS_MIN ? Map.groupBy(some, ({ episode }) => episode) : clients
    return Array.from(drawn.values(), one => sumsOf(one, said))
  })
  const random = uniform(SEED)
  const draws = Array.from({ length: DRAWS }, () =>
    meanOverGroups(clusters.flatMap(some => some.map(() => some[Math.floor(random() * some.length)] ?? new Map()))),
  )
  return { brier: spreadOf(draws.map(({ brier }) => brier)), logLoss: spreadOf(draws.map(({ logLoss }) => logLoss)) }
}

function sumsOf(truths: readonly Truth[], said: ReadonlyMap<string, number>): Map<string, Sum> {
  const sums = new Map<string, Sum>()
  for (const { id, set, window, eta } of truths) {
    const probability = said.get(id) ?? Number.NaN
    const right = eta === null ? 1 - probability : probability
    const sum = sums.get(`${set} ${window}`) ?? { brier: 0, logLoss: 0, count: 0 }
    sum.brier += (1 - right) ** 2
    sum.logLoss -= Math.log(Math.max(CLIP, Math.min(1 - CLIP, right)))
    sum.count++
    sums.set(`${set} ${window}`, sum)
  }
  return sums
}

function meanOverGroups(drawn: readonly ReadonlyMap<string, Sum>[]): { brier: number; logLoss: number } {
  const groups = new Map<string, Sum>()
  for (const sums of drawn) {
    for (const [group, { brier, logLoss, count }] of sums) {
      const sum = groups.get(group) ?? { brier: 0, logLoss: 0, count: 0 }
      groups.set(group, { brier: sum.brier + brier, logLoss: sum.logLoss + logLoss, count: sum.count + count })
    }
  }
  const meanOf = (of: 'brier' | 'logLoss') =>
    groups.values().reduce((total, sum) => total + sum[of] / sum.count, 0) / groups.size
  return { brier: meanOf('brier'), logLoss: meanOf('logLoss') }
}

function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, deviation: Math.sqrt(squares / values.length) }
}
