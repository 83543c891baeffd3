/** A store role that the test kills: it tells the engine's process id and then only lives. Its argument is the JSON of `EngineParent`. */
import pino from 'pino'
import { startEmbeddedStore } from '../../../collector/store/embedded.ts'

export interface EngineParent {
  dir: string
  port: number
}

// Whoever would kill it has died: a run of tests ends when nobody has its output any more.
process.once('disconnect', () => process.exit())
const { dir, port }: EngineParent = JSON.parse(process.argv[2] ?? '')
const engine = await startEmbeddedStore(
  { kind: 'embedded', host: '127.0.0.1', port, memoryBytesMax: 2 ** 30 },
  { dir, log: pino({ level: 'silent' }) },
)
process.send?.(engine.pid())
