/** One entry of the topic `control`: what changes at run time. Every role folds them, in order, into memory. */
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

/** What may change at run time; also a label of metrics and a column of the audit. */
const CONTROL_KINDS = [
  'token',
  'quota_config',
  'quota',
  'override',
  'grant',
  'reset',
  'block',
  'silence',
  // What the analyzer found: limits that providers state, rates that make a quota last, and what somebody should know.
  'upstream',
  'pace',
  'alert',
] as const
export type ControlKind = (typeof CONTROL_KINDS)[number]

const NAME_CHARACTERS_MAX = 256
const REASON_CHARACTERS_MAX = 2_048

export const ControlChange = Type.Object(
  {
    changeId: Type.String({
      minLength: 1,
      maxLength: NAME_CHARACTERS_MAX,
      description: 'Unique; finds the audit row.',
    }),
    atMs: Type.Integer({ minimum: 0, description: 'When it was asked for, Unix milliseconds.' }),
    by: Type.String({ minLength: 1, maxLength: NAME_CHARACTERS_MAX, description: 'Name of the principal who asked.' }),
    kind: Type.Enum(CONTROL_KINDS, { description: 'What is changed.' }),
    key: Type.String({ minLength: 1, maxLength: NAME_CHARACTERS_MAX, description: 'Which one of its kind.' }),
    expectedVersion: Type.Integer({
      minimum: 0,
      description:
        'Version that this change replaces, 0 where there is none. A change whose expectation does not hold when it is folded has lost and changes nothing.',
    }),
    version: Type.Integer({ minimum: 1, description: 'Version that this change makes.' }),
    value: Type.Unknown({ description: 'What holds from now on; `null` removes it.' }),
    reason: Type.Union([Type.String({ maxLength: REASON_CHARACTERS_MAX }), Type.Null()], {
      description: 'Why, in the words of whoever asked.',
    }),
  },
  { additionalProperties: false, $id: 'ControlChange' },
)
export type ControlChange = Static<typeof ControlChange>

const controlChange = Compile(ControlChange)

/**
 * Reads one value of the topic `control`. `null` for what is no change of this version of the program: such an entry
 * is stepped over and counted, it must not stop whoever folds.
 */
export function parseControlChange(value: string): ControlChange | null {
  try {
    const change: unknown = JSON.parse(value)
    return controlChange.Check(change) ? change : null
  } catch {
    return null
  }
}
