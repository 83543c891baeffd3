/** The CLI. Commands load when they are called, so that help needs nothing but this file and `command.ts`. */
import './needs-node.mjs'
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { alignedRows, type Command, commandHelp, parseInvocation, UsageError } from './command.ts'
import { hearWarnings } from './node-warnings.ts'
import { ensureBounds } from './process-bounds.ts'

const EXIT_FAILURE = 1
const EXIT_USAGE = 2

interface CommandEntry {
  summary: string
  load: () => Promise<{ command: Command }>
}

const COMMANDS: Record<string, CommandEntry> = {
  up: {
    summary: 'Starts every role on this machine and watches them (what `npm start` does).',
    load: () => import('./commands/up.ts'),
  },
  serve: {
    summary: 'Runs one role: store, collector, limiter or analyzer.',
    load: () => import('./commands/serve.ts'),
  },
  dashboards: {
    summary: 'Installs the Grafana dashboards: into a folder, or into a running Grafana.',
    load: () => import('./commands/dashboards.ts'),
  },
  demo: {
    summary: 'Makes the synthetic calls of `up --demo`.',
    load: () => import('./commands/demo.ts'),
  },
  import: { summary: 'Imports recorded call logs from files.', load: () => import('./commands/import.ts') },
  sources: {
    summary: 'Lists what can be shipped, and shows what to paste into each gateway.',
    load: () => import('./commands/sources.ts'),
  },
  rejections: {
    summary: 'Shows what could not be read, by source and reason.',
    load: () => import('./commands/rejections.ts'),
  },
  replay: {
    summary: 'Decodes rejections again, after what was wrong is mended.',
    load: () => import('./commands/replay.ts'),
  },
  try: {
    summary: 'Shows what would become of a sample of a log, and stores nothing.',
    load: () => import('./commands/try.ts'),
  },
  status: {
    summary: 'Shows the roles, what went in and out, and who is about to run out.',
    load: () => import('./commands/status.ts'),
  },
  forecast: {
    summary: 'Shows what will run out before its reset, and when.',
    load: () => import('./commands/forecast.ts'),
  },
  alerts: {
    summary: 'Shows what somebody should know, and tries who is told.',
    load: () => import('./commands/alerts.ts'),
  },
  token: { summary: 'Makes, lists and revokes tokens.', load: () => import('./commands/token.ts') },
  migrate: {
    summary: 'Brings the tables of the store to this version.',
    load: () => import('./commands/migrate.ts'),
  },
  audit: {
    summary: 'Compares the log with the stored calls and reports every difference.',
    load: () => import('./commands/audit.ts'),
  },
  'forecast-bench': {
    summary: 'Answers forecasting tasks, to be scored.',
    load: () => import('./commands/forecast-bench.ts'),
  },
  'check-config': {
    summary: 'Checks the config and prints the whole of it, secrets masked.',
    load: () => import('./commands/check-config.ts'),
  },
}

const HELP = [
  'Quotacast sees API quotas run out before they do.',
  '',
  'quotacast COMMAND …',
  '',
  'Commands:',
  ...alignedRows(Object.entries(COMMANDS).map(([name, { summary }]): [string, string] => [name, summary])),
  '',
  'quotacast COMMAND --help shows the options and examples of one.',
].join('\n')

/** Failures that the user can mend carry a `code`; their text is enough. Anything else is ours and shows its stack. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error ? error.message : (error.stack ?? error.message)
}

async function runCommand(name: string, entry: CommandEntry, args: readonly string[]): Promise<number> {
  const { command } = await entry.load()
  try {
    const invocation = parseInvocation(command, args)
    if (invocation.isHelp) {
      invocation.print(commandHelp(name, command))
      return 0
    }
    return await command.run(invocation)
  } catch (error) {
    const hint = error instanceof UsageError ? `\nSee: npm run quotacast -- ${name} --help` : ''
    process.stderr.write(`quotacast ${name}: ${explain(error)}${hint}\n`)
    return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE
  }
}

async function main([name, ...args]: readonly string[]): Promise<number> {
  const entry = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (name !== undefined && entry !== undefined) return runCommand(name, entry, args)
  const isHelp = name === '--help' || name === '-h' || name === 'help'
  if (isHelp) process.stdout.write(`${HELP}\n`)
  else process.stderr.write(name === undefined ? `${HELP}\n` : `There is no command \`${name}\`.\n\n${HELP}\n`)
  return isHelp ? 0 : EXIT_USAGE
}

hearWarnings((name, message) => void process.stderr.write(`${name}: ${message}\n`))
const args = process.argv.slice(2)
ensureBounds(args)
// Compiling is most of the time that a role takes to start, and to start again.
enableCompileCache(join(import.meta.dirname, '../node_modules/.cache/quotacast'))
// Whoever reads our output may stop reading, as `head` does; then there is nothing more to say.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => process.exit(EXIT_FAILURE))
const exitCode = await main(args)
// A pipe takes what its reader takes: what is still on its way when the process ends is lost.
for (const stream of [process.stdout, process.stderr]) await new Promise(resolve => stream.write('', resolve))
// Ends here and now: a handle that somebody left open must not keep a finished command alive.
process.exit(exitCode)
