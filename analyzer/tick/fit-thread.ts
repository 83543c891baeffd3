/** A thread that learns what it is sent; see `fitting.ts`. */
import assert from 'node:assert/strict'
import { parentPort } from 'node:worker_threads'
import { learn } from '../forecast/refit.ts'
import type { FitDone, FitJob } from './fitting.ts'

assert(parentPort, 'runs in a thread')
const port = parentPort
port.on('message', ({ id, asks }: FitJob) => {
  const states = asks.map(learn)
  const done: FitDone = { id, states }
  port.postMessage(done, states.map(({ outlook }) => outlook.values.buffer) as ArrayBuffer[])
})
