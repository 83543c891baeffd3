import { keepAudit } from '../../collector/store/audit-retention.ts'
import { migrate } from '../../collector/store/migrate.ts'
import type { Command } from '../command.ts'
import { createLogger } from '../logging.ts'
import { openStoreOf } from '../open-data.ts'

export const command: Command = {
  usage: '',
  description:
    'Applies what the tables of the running store lack. The collector does the same when it starts; this is for those ' +
    'who want it done before.',
  options: {},
  examples: ['migrate', 'migrate --json'],
  async run(invocation) {
    const config = await invocation.config()
    const log = createLogger({ command: 'migrate' }, 'warn')
    const store = await openStoreOf(config, log)
    try {
      const away = await store.ping()
      if (away !== null) {
        invocation.warn(
          `${away} ${config.store.kind === 'embedded' ? 'Start it with: npm run quotacast -- serve store' : ''}`.trim(),
        )
        return 1
      }
      const applied = await migrate(store, { log })
      await keepAudit(store, config.store.auditRetentionSeconds)
      if (invocation.isJson) invocation.print(JSON.stringify({ applied }))
      else invocation.print(applied.length === 0 ? 'The tables are up to date.' : `Applied ${applied.join(', ')}.`)
      return 0
    } finally {
      await store.close()
    }
  },
}
