/** The log and the store of the config, where the data folder has them. */
import { join } from 'node:path'
import type { Logger } from 'pino'
import { logEntriesLost } from '../collector/events.ts'
import { openCallLog } from '../collector/log/open.ts'
import { openStore } from '../collector/store/open.ts'
import type { Config } from './config-schema.ts'

export const openLogOf = ({ log, dataDir }: Config, logger: Logger) =>
  openCallLog(log, { dir: join(dataDir, 'log'), log: logger, onLoss: loss => logEntriesLost(logger, loss) })

export const openStoreOf = ({ store, dataDir }: Config, logger: Logger) =>
  openStore(store, { dir: join(dataDir, 'store'), log: logger })
