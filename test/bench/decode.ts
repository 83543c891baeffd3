import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { FIXTURES } from '../fixtures/sources/index.ts'
import type { DecodeRates, DecodeTask } from './decode-shape.ts'
import { fixed, printTable, thousands } from './table.ts'

/** `null` where the fixture has no good call of that shape. */
async function measure(task: DecodeTask): Promise<DecodeRates | null> {
  const worker = new Worker(new URL('decode-thread.ts', import.meta.url), { workerData: task })
  const [rates] = await once(worker, 'message')
  await worker.terminate()
  return rates
}

/** Calls per CPU second from the text of a line to a draft, and to a whole record, beside a bare `JSON.parse`. */
export async function benchDecode(): Promise<void> {
  process.stdout.write('Decoding: good calls of the fixtures as lines, calls per CPU second of one thread\n\n')
  const rows: string[][] = []
  for (const { dialect } of FIXTURES) {
    for (const isJson of [true, false]) {
      const rates = await measure({ dialect, isJson })
      if (rates === null) continue
      const { bytesPerCall, parsed, decoded, normalized } = rates
      rows.push([
        ...[`${dialect}, ${isJson ? 'JSON' : 'text'}`, thousands(bytesPerCall)],
        ...[parsed === null ? '–' : thousands(parsed), thousands(decoded)],
        ...[parsed === null ? '–' : fixed(parsed / decoded, 1), thousands(normalized)],
      ])
    }
  }
  printTable(['dialect', 'bytes a call', 'JSON.parse', 'decoded', 'times JSON.parse', 'normalized'], rows)
}
