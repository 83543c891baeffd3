import type { Command } from '../command.ts'
import { printConfig } from '../config.ts'

export const command: Command = {
  usage: '',
  description: 'Reads the config as every other command would, names all problems at once, or prints the whole of it.',
  options: {},
  examples: ['check-config --config quotacast.yaml', 'check-config --json'],
  async run(invocation) {
    const config = await invocation.config()
    invocation.print(await printConfig(config, invocation.isJson ? 'json' : 'yaml'))
    return 0
  },
}
