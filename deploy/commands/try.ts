import { randomBytes } from 'node:crypto'
import type { CallRecord } from '../../collector/call-record.ts'
import { DialectError } from '../../collector/normalize/draft.ts'
import { splitBody } from '../../collector/receive/body.ts'
import { fileStemOf } from '../../collector/receive/file-stem.ts'
import type { CallSource } from '../../collector/receive/source.ts'
import { beginningOf } from '../../collector/receive/source-file.ts'
import { createSources } from '../../collector/receive/sources.ts'
import { type Trial, tryBatch } from '../../collector/receive/trial.ts'
import { type Command, type Invocation, UsageError } from '../command.ts'
import type { Config } from '../config-schema.ts'
import { FIELD_HINTS } from '../gateways/field-hints.ts'
import { GUIDES } from '../gateways/guides.ts'
import { fieldsOf } from '../gateways/render.ts'
import { normalizerOf } from '../normalizer.ts'
import { knownFingerprintKeys } from '../secrets.ts'
import { type Hint, trialText } from '../trial-text.ts'

const MiB = 2 ** 20
/** Of a file or of standard input that is looked at. */
const SAMPLE_BYTES_MAX = 8 * MiB
const SAMPLE_CALLS_MAX = 1_000_000
const FINGERPRINT_KEY_BYTES = 32
/** The dialect that recognizes the others. */
const UNKNOWN_SOURCE = 'auto'
const NEWLINE = 10

export const command: Command = {
  usage: 'FILE|- [--source NAME]',
  takesArguments: true,
  description:
    'Decodes a sample of a log and stores nothing: which fields were understood, what is dropped as secret, what is ' +
    'rejected and why, and what to change in the gateway for the fields that are empty. Looks at the first 8 MiB of a ' +
    'file, compressed or not, or of standard input. The exit code is 1 when nothing was a call.',
  options: {
    source: {
      type: 'string',
      value: 'NAME',
      description: 'Source of the config, gateway or mapping that reads it; without it, the shape is recognized.',
    },
  },
  examples: ['try access.log --source nginx', 'try sample.json', 'try - --source kong < kong.log'],
  async run(invocation) {
    const [path, ...more] = invocation.positionals
    if (path === undefined || more.length > 0) throw new UsageError('one FILE is needed, or - for standard input')
    const config = await invocation.config()
    const source = readSource(invocation, config)
    const trial = tryBytes(await readSample(path), { source, config, path })
    const hints = hintsOf(trial, source)
    if (invocation.isJson) invocation.print(JSON.stringify({ source: source.name, ...trial, hints }, null, 2))
    else for (const line of trialText(trial, hints)) invocation.print(line)
    return trial.calls > 0 ? 0 : 1
  },
}

function readSource(invocation: Invocation, config: Config): CallSource {
  const name = invocation.text('source') ?? UNKNOWN_SOURCE
  const sources = createSources(config.sources, config.mappings)
  const source = sources.find(name)
  if (source === undefined)
    throw new UsageError(`there is no source ${JSON.stringify(name)}, only ${sources.names.join(', ')}`)
  // The shape is known then, and not the gateway.
  return name === UNKNOWN_SOURCE ? { ...source, gateway: null } : source
}

/** A line that the end of the sample cuts is left out. */
async function readSample(path: string): Promise<Buffer> {
  const sample = path === '-' ? await readStandardInput() : await beginningOf(path, SAMPLE_BYTES_MAX)
  const end = sample.length < SAMPLE_BYTES_MAX ? -1 : sample.lastIndexOf(NEWLINE)
  return end < 0 ? sample : sample.subarray(0, end)
}

async function readStandardInput(): Promise<Buffer> {
  const chunks: Buffer[] = []
  let left = SAMPLE_BYTES_MAX
  for await (const chunk of process.stdin) {
    chunks.push(chunk.subarray(0, left))
    left -= chunk.length
    if (left <= 0) break
  }
  return Buffer.concat(chunks)
}

function tryBytes(
  bytes: Buffer,
  { source, config, path }: { source: CallSource; config: Config; path: string },
): Trial {
  const normalizer = normalizerOf(config, fingerprintKeysOf(config))
  const fileStem = path === '-' ? null : fileStemOf(path)
  try {
    const batch = splitBody(bytes, { source, fileStem, isNdjson: false, recordsMax: SAMPLE_CALLS_MAX })
    return tryBatch(batch, source, normalizer, Date.now())
  } catch (error) {
    throw error instanceof DialectError ? new UsageError(error.message) : error
  }
}

/** Where nothing has been started yet nothing is made: then fingerprints are of this run only. */
function fingerprintKeysOf({ dataDir, secrets }: Config): readonly string[] {
  return knownFingerprintKeys(dataDir, secrets) ?? [randomBytes(FINGERPRINT_KEY_BYTES).toString('hex')]
}

/** For fields that no call has: what to change, and whether this gateway can tell them at all. */
function hintsOf({ fields, dialects }: Trial, source: CallSource): Hint[] {
  const [dialect = source.dialect.name] = Object.entries(dialects)
    .toSorted(([, one], [, other]) => other - one)
    .map(([name]) => name)
  const guide = GUIDES.find(({ name }) => name === source.name) ?? GUIDES.find(other => other.dialect === dialect)
  const tellable = fieldsOf(dialect)
  const own: Readonly<Record<string, string>> = guide?.hints ?? {}
  return fields.flatMap(({ field, count }): Hint[] => {
    const general = FIELD_HINTS[field as keyof CallRecord]
    if (count > 0 || general === undefined) return []
    const isOurs = field === 'tenant' || field === 'costMicros'
    const isTellable = tellable.includes(field) || field in own || isOurs || guide === undefined
    return [{ field, text: isTellable ? (own[field] ?? general) : null, guide: isOurs ? null : (guide?.name ?? null) }]
  })
}
