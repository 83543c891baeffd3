/**
 * `npm run train`: trains the calibrator on the public series beside the repository and writes it with its card, and one
 * model per fold that has not seen the fold's series, by which `npm run bench -- forecast` scores. Equal data, equal bytes.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { logitOf, TREES_EVERYWHERE } from '../../analyzer/forecast/calibrate.ts'
import { FEATURES } from '../../analyzer/forecast/features.ts'
import { type ForestJson, toForest } from '../../analyzer/forecast/trees.ts'
import type { BoostOptions } from './boost.ts'
import { FOLDS, moreSeries, readSeries, sampleQuestions, samplingOf } from './questions.ts'
import { type Questions, toRows } from './rows.ts'
import type { Training } from './worker.ts'

const DATA = new URL('../../../shared/data/forecast', import.meta.url).pathname
const MODEL = new URL('../../analyzer/forecast/calibrator.json', import.meta.url).pathname
const FOLD_MODELS = new URL('./folds.json', import.meta.url).pathname
/** Stands in the card; to be changed with the method or the data. */
const TRAINED_ON = '2026-11-24'
/** Models that are trained at a time: each takes half a gigabyte. */
const THREADS_MAX = 4
const OPTIONS: BoostOptions = {
  trees: 1720,
  depth: 6,
  learningRate: 0.015,
  first: { trees: TREES_EVERYWHERE, learningRate: 0.03 },
  lambda: 20,
  leafMin: 60,
  rowShare: 0.4,
  featureShare: 0.25,
  gainMin: 1.5,
  seed: 1,
}

const say = (line: string) => process.stdout.write(`${line}\n`)

async function train(training: Training): Promise<ForestJson> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: training })
  const [forest] = (await once(worker, 'message')) as [ForestJson]
  return forest
}

/** A model per fold that has not seen it, and the one of all series. */
async function trainAll(questions: Questions): Promise<{ folds: ForestJson[]; forest: ForestJson }> {
  const waiting = [...Array.from({ length: FOLDS }, (_, fold) => fold), null]
  const trained = new Map<number | null, ForestJson>()
  const trainNext = async () => {
    for (let fold = waiting.shift(); fold !== undefined; fold = waiting.shift()) {
      trained.set(fold, await train({ questions, fold, options: OPTIONS }))
      say(`${trained.size} of ${FOLDS + 1} models trained`)
    }
  }
  await Promise.all(Array.from({ length: Math.min(THREADS_MAX, availableParallelism()) }, trainNext))
  const modelOf = (fold: number | null): ForestJson => {
    const forest = trained.get(fold)
    assert(forest)
    return forest
  }
  return { folds: Array.from({ length: FOLDS }, (_, fold) => modelOf(fold)), forest: modelOf(null) }
}

/** Mean Brier score of the questions' final probability, by the group. */
function briers(forest: ForestJson, questions: Questions, isScored: (row: number) => boolean): Map<string, number[]> {
  const { rows, shares, groups } = questions
  const trees = toForest(forest)
  const scores = new Map<string, number[]>()
  for (let row = 0; row < rows.count; row++) {
    if (shares[row] !== 1 || !isScored(row)) continue
    const features = Float64Array.from(rows.values.subarray(row * rows.features, (row + 1) * rows.features))
    const probability = 1 / (1 + Math.exp(-logitOf(features, trees)))
    const group = groups[row] ?? ''
    const score = (probability - (rows.labels[row] ?? 0)) ** 2
    const known = scores.get(group)
    if (known) known.push(score)
    else scores.set(group, [score])
  }
  return scores
}

async function main(): Promise<number> {
  if (!existsSync(DATA)) {
    process.stderr.write(`The public series are expected at ${DATA}.\n`)
    return 1
  }
  const series = readSeries(DATA)
  const all = [...series, ...moreSeries(series)]
  const asked = all.flatMap(one => sampleQuestions(one, samplingOf(one)).map(question => ({ question, series: one })))
  say(`${series.length} series and ${all.length - series.length} made of them, ${asked.length} questions`)
  const questions = toRows(asked, done => say(`${done} of ${asked.length} questions looked at`))
  const { folds, forest } = await trainAll(questions)
  const brier: Record<string, number[]> = {}
  folds.forEach((forest, fold) => {
    for (const [group, scores] of briers(forest, questions, row => questions.folds[row] === fold)) {
      brier[group] = [...(brier[group] ?? []), ...scores]
    }
  })
  const card = {
    trainedOn: TRAINED_ON,
    data: 'ServeGen (Apache-2.0), M4 hourly, NAB and others: the prepared public series, their sums, the same on other clocks, and series of single calls',
    series: series.length,
    madeSeries: all.length - series.length,
    questions: asked.length,
    seeds: `boosting ${OPTIONS.seed}, questions by the name of their series`,
    options: OPTIONS,
    crossFittedBrier: Object.fromEntries(
      Object.entries(brier).map(([group, scores]) => [
        group,
        Number((scores.reduce((sum, score) => sum + score, 0) / scores.length).toFixed(4)),
      ]),
    ),
  }
  writeFileSync(MODEL, `${JSON.stringify({ card, features: FEATURES.map(([name]) => name), forest })}\n`)
  writeFileSync(FOLD_MODELS, `${JSON.stringify(folds)}\n`)
  say(JSON.stringify(card, null, 2))
  return 0
}

process.exitCode = await main()
