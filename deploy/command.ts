/** The shape of one command of the CLI, its help, and how its arguments are read. `main.ts` has the table of commands. */
import { type ParseArgsConfig, parseArgs } from 'node:util'
import type { Config } from './config-schema.ts'

interface CommandOption {
  type: 'string' | 'boolean'
  /** May be given several times. */
  multiple?: boolean
  /** One letter that means the same. */
  short?: string
  /** How help names the value, as in `--mapping NAME`. */
  value?: string
  description: string
}

/** What a module in `commands/` exports as `command`. */
export interface Command {
  /** Arguments after the command's name, as in `FILE… --mapping NAME`; empty when there are none. */
  usage: string
  /** False when absent: then anything but options is a mistake, and not passed over. */
  takesArguments?: boolean
  description: string
  options: Record<string, CommandOption>
  /** Whole lines that a reader can paste, without `npm run quotacast --`. */
  examples: readonly string[]
  /** Answers the exit code: 0 is success, 1 a failure that was printed. Throws `UsageError` for wrong arguments. */
  run(invocation: Invocation): Promise<number>
}

/** One run of a command. */
export interface Invocation {
  positionals: readonly string[]
  /** Value of a string option, `undefined` when it was not given. */
  text(option: string): string | undefined
  /** Values of an option that may be given several times. */
  texts(option: string): string[]
  isSet(option: string): boolean
  /** `--json`: a machine reads the output. */
  isJson: boolean
  /** Reads and checks the config on the first call. Throws `ConfigError` with every problem. */
  config(): Promise<Config>
  /** The config flags as they were given, for processes that this one starts. */
  configFlags: readonly string[]
  /** Writes a line to standard output. */
  print(line: string): void
  /** Writes a line to standard error: progress, warnings. */
  warn(line: string): void
}

/** Options that every command has. */
const COMMON_OPTIONS: Record<string, CommandOption> = {
  config: {
    type: 'string',
    value: 'FILE',
    description: 'YAML config file (or QUOTACAST_CONFIG); none means defaults.',
  },
  data: { type: 'string', value: 'DIR', description: 'Data folder, instead of `dataDir` of the config (./data).' },
  set: {
    type: 'string',
    multiple: true,
    value: 'KEY=VALUE',
    description: 'Overrides one config key, as in --set limiter.port=8012.',
  },
  json: { type: 'boolean', description: 'Prints JSON for machines.' },
  help: { type: 'boolean', short: 'h', description: 'Prints this help.' },
}
/** The common options that belong to the config and are handed on to child processes. */
const CONFIG_OPTIONS = ['config', 'data', 'set'] as const

/** Arguments that make no sense; the text says which, help says what does. */
export class UsageError extends Error {
  readonly code = 'USAGE'

  constructor(message: string) {
    super(message)
    this.name = 'UsageError'
  }
}

/** Reads `args` (without the command's name) by the command's options. Throws `UsageError`. */
export function parseInvocation(command: Command, args: readonly string[]): Invocation & { isHelp: boolean } {
  const { values, positionals } = parse(command, args)
  if (positionals.length > 0 && command.takesArguments !== true && values.help !== true)
    throw new UsageError(`it takes options only, not ${JSON.stringify(positionals[0])}`)
  const texts = (option: string) => [values[option] ?? []].flat().filter(value => typeof value === 'string')
  const configFlags = CONFIG_OPTIONS.flatMap(option => texts(option).flatMap(value => [`--${option}`, value]))
  let config: Promise<Config> | undefined
  return {
    positionals,
    text: option => texts(option).at(-1),
    texts,
    isSet: option => values[option] !== undefined && values[option] !== false,
    isJson: values.json === true,
    isHelp: values.help === true,
    // Imported late: help needs no config, and the config needs every part's schemas.
    config() {
      config ??= import('./config.ts').then(({ loadConfig }) =>
        loadConfig({ file: texts('config').at(-1), dataDir: texts('data').at(-1), overrides: texts('set') }),
      )
      return config
    },
    configFlags,
    print: line => process.stdout.write(`${values.json === true ? line : printable(line)}\n`),
    warn: line => process.stderr.write(`${printable(line)}\n`),
  }
}

/**
 * Names come from whoever calls a gateway: what would move the cursor, colour the terminal, or turn what stands beside it
 * around is shown as a blot.
 */
const printable = (text: string): string =>
  text.replaceAll(/(?![\n\t])[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '\ufffd')

function parse(command: Command, args: readonly string[]) {
  const options: NonNullable<ParseArgsConfig['options']> = {}
  for (const [name, option] of Object.entries({ ...command.options, ...COMMON_OPTIONS })) {
    const { type, multiple = false, short } = option
    options[name] = { type, multiple, ...(short === undefined ? {} : { short }) }
  }
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: true })
  } catch (error) {
    // What Node adds of positional arguments that begin with a dash helps nobody.
    throw new UsageError(error instanceof Error ? error.message.replace(/\. To specify .*/s, '') : String(error))
  }
}

/** A number that an option gives, `absent` where it is not given. Throws `UsageError`. */
export function parseNumber(
  invocation: Invocation,
  option: string,
  absent: number,
  { least, most }: { least: number; most: number },
): number {
  const text = invocation.text(option)
  const value = text === undefined ? absent : Number(text)
  if (text?.trim() === '' || !(value >= least && value <= most)) {
    throw new UsageError(`--${option} is a number from ${least} to ${most}, not ${text}`)
  }
  return value
}

/** The text of `quotacast NAME --help`. */
export function commandHelp(name: string, command: Command): string {
  const options = { ...command.options, ...COMMON_OPTIONS }
  const rows = Object.entries(options).map(([option, { value, description }]): [string, string] => [
    `--${option}${value === undefined ? '' : ` ${value}`}`,
    description,
  ])
  return [
    `quotacast ${[name, command.usage].filter(Boolean).join(' ')}`,
    '',
    command.description,
    '',
    'Options:',
    ...alignedRows(rows),
    '',
    'Examples:',
    ...command.examples.map(example => `  npm run quotacast -- ${example}`),
  ].join('\n')
}

/** Two columns, indented, the first as wide as its widest cell. */
export function alignedRows(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}
