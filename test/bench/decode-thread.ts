/** A thread for one shape: what others made of the engine's caches is not in it. */
import { parentPort, workerData } from 'node:worker_threads'
import { type DecodeTask, ratesOf, shapeOf } from './decode-shape.ts'

const task: DecodeTask = workerData
const shape = shapeOf(task)
parentPort?.postMessage(shape === null ? null : ratesOf(shape, task))
