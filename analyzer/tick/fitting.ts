/**
 * Where series are learnt anew: in threads of their own, so that whoever asks the API meanwhile is answered, or in slices
 * between requests where there are none.
 */
import { Worker } from 'node:worker_threads'
import { type FitAsk, type ForecastState, learn } from '../forecast/refit.ts'
import { createSlices } from '../usage/slices.ts'

/** Work goes on for so long before others may answer requests. */
export const SLICE_MS = 15

export interface Fitting {
  /** Answers in the order of the asks. The histories are handed over: whoever asks must not use them again. */
  fit(asks: readonly FitAsk[]): Promise<ForecastState[]>
  /** Ends the threads; what is under way is not answered. */
  close(): Promise<void>
}

/** What goes to a thread and comes back. */
export interface FitJob {
  id: number
  asks: readonly FitAsk[]
}
export interface FitDone {
  id: number
  states: ForecastState[]
}

/** Starts `threads` of them; with 0 all is done here. A thread that fails ends the process, as any bug does. */
export const openFitting = (threads: number): Fitting => (threads === 0 ? fittingHere() : fittingInThreads(threads))

const fittingHere = (): Fitting => ({
  async fit(asks) {
    const states: ForecastState[] = []
    const slices = createSlices(SLICE_MS)
    for (const ask of asks) {
      states.push(learn(ask))
      if (slices.isOver()) await slices.next()
    }
    return states
  },
  close: async () => undefined,
})

function fittingInThreads(threads: number): Fitting {
  const waiting = new Map<number, (states: ForecastState[]) => void>()
  let lastId = 0
  const workers = Array.from({ length: threads }, () => {
    const worker = new Worker(new URL('./fit-thread.ts', import.meta.url))
    worker.on('message', ({ id, states }: FitDone) => {
      waiting.get(id)?.(states)
      waiting.delete(id)
    })
    return worker
  })
  const send = (worker: Worker, asks: readonly FitAsk[]): Promise<ForecastState[]> => {
    const { promise, resolve } = Promise.withResolvers<ForecastState[]>()
    const job: FitJob = { id: ++lastId, asks }
    waiting.set(job.id, resolve)
    const histories = asks.map(({ history }) => history.total.buffer)
    worker.postMessage(job, histories as ArrayBuffer[])
    return promise
  }
  return {
    async fit(asks) {
      const share = Math.ceil(asks.length / workers.length)
      const parts = workers.map((worker, index) => ({ worker, asks: asks.slice(index * share, (index + 1) * share) }))
      const done = await Promise.all(
        parts.filter(part => part.asks.length > 0).map(part => send(part.worker, part.asks)),
      )
      return done.flat()
    },
    close: async () => void (await Promise.all(workers.map(worker => worker.terminate()))),
  }
}
