/** A thread that trains one model: that of all series, or one that has not seen those of a fold. */
import { parentPort, workerData } from 'node:worker_threads'
import { FEATURES } from '../../analyzer/forecast/features.ts'
import { type BoostOptions, boost, toForestJson } from './boost.ts'
import { type Questions, weighed } from './rows.ts'

export interface Training {
  questions: Questions
  /** The fold that is not seen; `null` sees all. */
  fold: number | null
  options: BoostOptions
}

const { questions, fold, options } = workerData as Training
const rows = weighed(questions, row => questions.folds[row] !== fold)
const directions = FEATURES.map(([, direction]) => direction)
parentPort?.postMessage(toForestJson(boost(rows, directions, options)))
