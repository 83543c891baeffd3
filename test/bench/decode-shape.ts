/** Decoding of one dialect's text, or of its JSON, and what it costs. */
import type { Dialect } from '../../collector/normalize/draft.ts'
import { isRejection, type Normalizer } from '../../collector/normalize/normalize.ts'
import { createLineDecoder } from '../../collector/receive/decode-lines.ts'
import { lineBatch, type RawBatch } from '../../collector/receive/raw-batch.ts'
import { deliveryOf, normalizerFor } from '../collector/normalize/normalizer.ts'
import { inputText, outcomesOf } from '../collector/normalize/outcomes.ts'
import type { Fixture } from '../fixtures/sources/fixture.ts'
import { FIXTURES } from '../fixtures/sources/index.ts'

export interface DecodeTask {
  dialect: string
  isJson: boolean
}

/** Calls per CPU second. */
export interface DecodeRates {
  bytesPerCall: number
  /** A bare `JSON.parse` of the same text, `null` where it is none. */
  parsed: number | null
  /** From text to draft. */
  decoded: number
  /** From text to record. */
  normalized: number
}

/** The kernel counts CPU time in ticks, so a round has to take many. */
const INPUTS = 10_000
const WARM_UP_ROUNDS = 3
const ROUNDS = 8

export interface Shape {
  dialect: Dialect
  timezone: string
  inputs: readonly string[]
}

/** The calls that are objects of JSON: batches in a batch are none. */
export const objectsOf = (shape: Shape): Shape => ({
  ...shape,
  inputs: shape.inputs.filter(input => input.startsWith('{')),
})

/** The good calls of a fixture that are JSON, or are not, again and again, each with ids of its own. */
export function shapeOf({ dialect: name, isJson }: DecodeTask): Shape | null {
  const fixture = FIXTURES.find(({ dialect }) => dialect === name)
  const dialect = normalizerFor().dialect(name)
  if (fixture === undefined || dialect === undefined) throw new Error(`there is no dialect ${name}`)
  const good = fixture.calls
    .map(inputText)
    .filter(input => !input.includes('\n') && isJson === isJsonText(input) && isGood(fixture, input))
  if (good.length === 0) return null
  const inputs = Array.from({ length: INPUTS }, (_, index) => varied(good[index % good.length] ?? '', index))
  return { dialect, timezone: fixture.timezone ?? 'UTC', inputs }
}

const isGood = (fixture: Fixture, input: string) =>
  outcomesOf(fixture, input).every(outcome => outcome !== 'skipped' && !isRejection(outcome))

function isJsonText(input: string): boolean {
  try {
    JSON.parse(input)
    return true
  } catch {
    return false
  }
}

const varied = (input: string, index: number) =>
  input.replaceAll(/(?<=["/ =])[0-9a-f]{12,}(?=["/ ]|$)/g, id => id.slice(0, -4) + String(index).padStart(4, '0'))

export const batchOf = ({ dialect, inputs, timezone }: Shape): RawBatch =>
  lineBatch(
    inputs.map((text, index) => ({ offset: index, number: index + 1, text, problem: null })),
    createLineDecoder(dialect, { fileStem: null, header: null, timezone }),
  )

type CpuUsage = (before?: NodeJS.CpuUsage) => NodeJS.CpuUsage

/** CPU microseconds of the round that a quarter of the rounds beat: others on the machine only add. */
export function cpuMicros(round: () => void, usage: CpuUsage = process.threadCpuUsage): number {
  const micros: number[] = []
  for (let done = 0; done < WARM_UP_ROUNDS + ROUNDS; done++) {
    const begin = usage()
    round()
    const { user, system } = usage(begin)
    if (done >= WARM_UP_ROUNDS) micros.push(user + system)
  }
  return micros.toSorted((one, other) => one - other)[ROUNDS / 4] ?? Number.NaN
}

function decodeAll(shape: Shape): void {
  const batch = batchOf(shape)
  for (let position = 0; position < batch.size; position++) batch.decodedAt(position)
}

function normalizeAll(shape: Shape, normalizer: Normalizer): void {
  normalizeBatch(batchOf(shape), shape.dialect.name, normalizer, () => undefined)
}

export function normalizeBatch(
  batch: RawBatch,
  dialect: string,
  normalizer: Normalizer,
  onResult: (result: ReturnType<Normalizer['normalize']>) => void,
): void {
  const keyAt = (position: number) => `bench ${position}`
  const inputAt = (position: number) => batch.inputAt(position)
  const delivery = { ...deliveryOf(''), dialect, keyAt, inputAt }
  for (let position = 0; position < batch.size; position++) {
    const decoded = batch.decodedAt(position)
    if (decoded.kind !== 'skip') onResult(normalizer.normalize(decoded, delivery, position))
  }
}

export function ratesOf(shape: Shape, { isJson }: DecodeTask): DecodeRates {
  const calls = batchOf(shape).size
  const rate = (round: () => void) => (calls / cpuMicros(round)) * 1e6
  const normalizer = normalizerFor()
  return {
    bytesPerCall: shape.inputs.reduce((sum, input) => sum + Buffer.byteLength(input), 0) / calls,
    parsed: isJson ? rate(() => shape.inputs.forEach(input => void JSON.parse(input))) : null,
    decoded: rate(() => decodeAll(shape)),
    normalized: rate(() => normalizeAll(shape, normalizer)),
  }
}
