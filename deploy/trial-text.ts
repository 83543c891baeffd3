/** A trial of somebody's log as text for people. */
import type { Trial, TrialField } from '../collector/receive/trial.ts'
import { alignedRows } from './command.ts'
import { thousands } from './import-progress.ts'

const VALUE_CHARACTERS_MAX = 60
const INPUT_CHARACTERS_MAX = 160

/** About a field that no call has. */
export interface Hint {
  field: string
  /** What to change, `null` where the gateway cannot tell it. */
  text: string | null
  /** Name of the guide whose snippet has it. */
  guide: string | null
}

/** Lines. */
export function trialText(trial: Trial, hints: readonly Hint[]): string[] {
  const { inputs, calls, noCalls, dialects, fields, dropped, rejections } = trial
  const rejected = rejections.reduce((sum, { count }) => sum + count, 0)
  const known = fields.filter(({ count }) => count > 0)
  return [
    [
      `Inputs: ${thousands(inputs)}`,
      `calls: ${thousands(calls)}${calls === 0 ? '' : ` (${Object.keys(dialects).join(', ')})`}`,
      `rejected: ${thousands(rejected)}`,
      `no calls, and need not be: ${thousands(noCalls)}`,
    ].join('; '),
    ...section('Understood, in how many of the calls', alignedTriples(known, calls)),
    ...section(
      'Not kept, but for the fingerprint of who called',
      alignedRows(Object.entries(dropped).map(([place, count]): [string, string] => [place, share(count, inputs)])),
    ),
    ...section(
      'Rejected',
      rejections.flatMap(({ reason, message, position, input, count }) => [
        `  ${thousands(count)} ${reason}: ${message}`,
        `    no. ${position}: ${input === '' ? '(not kept)' : shortened(input, INPUT_CHARACTERS_MAX)}`,
      ]),
    ),
    ...(calls === 0 ? [] : hintLines(hints)),
  ]
}

const section = (title: string, lines: readonly string[]) => (lines.length === 0 ? [] : ['', `${title}:`, ...lines])

function alignedTriples(fields: readonly TrialField[], calls: number): string[] {
  return alignedRows(
    fields.map(({ field, count, example }): [string, string] => [
      field,
      `${share(count, calls).padStart(5)}  ${exampleText(field, example)}`,
    ]),
  )
}

/** A share of less than everything is never called everything. */
const share = (count: number, all: number) => `${Math.floor((100 * count) / all) || '<1'} %`

function exampleText(field: string, value: unknown): string {
  if (typeof value === 'number' && field.endsWith('AtMs')) return new Date(value).toISOString()
  return shortened(typeof value === 'string' ? value : JSON.stringify(value), VALUE_CHARACTERS_MAX)
}

function shortened(text: string, charactersMax: number): string {
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length <= charactersMax ? line : `${line.slice(0, charactersMax)}…`
}

function hintLines(hints: readonly Hint[]): string[] {
  const fieldsByText = new Map<string, string[]>()
  for (const { field, text } of hints) {
    if (text !== null) fieldsByText.set(text, [...(fieldsByText.get(text) ?? []), field])
  }
  const mendable = Array.from(fieldsByText, ([text, fields]): [string, string] => [fields.join(', '), text])
  const untold = hints.filter(({ text }) => text === null).map(({ field }) => field)
  const guide = hints.find(hint => hint.text !== null && hint.guide !== null)?.guide ?? null
  return [
    ...section('Empty, and how to fill it', alignedRows(mendable)),
    ...(guide === null ? [] : ['', `What to paste into the gateway: npm run quotacast -- sources show ${guide}`]),
    ...(untold.length === 0 ? [] : ['', `Nothing that this gateway logs tells ${untold.join(', ')}.`]),
  ]
}
