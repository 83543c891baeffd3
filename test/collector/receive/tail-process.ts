/** Follows files into the log of a folder until it is killed: `tail-process.ts DIR PATTERN`. Says when calls are durable. */
import { join } from 'node:path'
import { openCallLog } from '../../../collector/log/open.ts'
import { createIntake } from '../../../collector/receive/intake.ts'
import { followFiles } from '../../../collector/receive/tail.ts'
import { logger } from './fixture.ts'
import { normalizer, sourceOf } from './listening.ts'

const [dir = '', pattern = ''] = process.argv.slice(2)
const log = await openCallLog(
  { kind: 'embedded', retentionSeconds: 3600, sizeBytesMax: 2 ** 30 },
  { dir: join(dir, 'log'), log: logger, onLoss: () => process.exit(1) },
)
await followFiles({ kind: 'file', paths: [pattern], from: 'begin' }, sourceOf(), {
  ...{ log, logger, dir: join(dir, 'tails'), now: Date.now, report: () => undefined, reportWaiting: () => undefined },
  intake: createIntake({ log, normalizer, logger, now: Date.now }),
  signal: new AbortController().signal,
  onTaken: () => process.stdout.write('.'),
})
