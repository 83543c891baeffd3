/** What changes at run time beside the quotas: other limits for one subject, grants, resets, paces, callers who are blocked, silences. */
import Type, { type Static } from 'typebox'
import { VALUE_CHARACTERS_MAX } from './quota-options.ts'

const LIMIT_MAX = Number.MAX_SAFE_INTEGER
export const REASON_CHARACTERS_MAX = 2_048
const name = (description: string) => Type.String({ minLength: 1, maxLength: VALUE_CHARACTERS_MAX, description })
const amount = (description: string) => Type.Integer({ minimum: 0, maximum: LIMIT_MAX, description })
/** Later instants have no date that could be told (ECMAScript's time values). */
export const INSTANT_MS_MAX = 8.64e15
const instant = (description: string) =>
  Type.Integer({ minimum: 0, maximum: INSTANT_MS_MAX, description: `${description} Unix milliseconds.` })

export const Subject = Type.Record(Type.String(), Type.String({ maxLength: VALUE_CHARACTERS_MAX }), {
  maxProperties: 10,
  description: "The quota's `per` dimensions and their values.",
})

/** Another limit for one subject. */
export const Override = Type.Object(
  { quota: name('Name of the quota.'), subject: Subject, limit: amount('Its limit instead; 0 denies.') },
  { additionalProperties: false },
)
export type Override = Static<typeof Override>

/** More for a time, for one subject or for each. */
export const Grant = Type.Object(
  {
    quota: name('Name of the quota.'),
    subject: Type.Union([Subject, Type.Null()], { description: 'Whose; null: each subject has it.' }),
    amount: amount('Units above the limit.'),
    fromMs: instant('Begin.'),
    untilMs: instant('End; what was spent of it stays spent.'),
  },
  { additionalProperties: false },
)
export type Grant = Static<typeof Grant>

/** What calls of one subject used that began before `fromMs` counts as unused for the rest of the window. */
export const Reset = Type.Object(
  {
    quota: name('Name of the quota.'),
    subject: Subject,
    used: Type.Number({ minimum: 0, description: 'Units of the window that were used until then and count no more.' }),
    fromMs: instant('The instant of the reset.'),
    untilMs: instant('End of the window; afterwards nothing from before counts anyway.'),
  },
  { additionalProperties: false },
)
export type Reset = Static<typeof Reset>

/** A caller who may not pass at all. */
export const Block = Type.Object(
  {
    what: Type.Enum(['consumer', 'tenant', 'address'], { description: 'What is blocked.' }),
    value: name('A consumer, a tenant, an address, or a range of them such as `203.0.113.0/24`.'),
    untilMs: Type.Union([instant('End.'), Type.Null()], {
      default: null,
      description: 'End, Unix milliseconds; null: until it is removed.',
    }),
  },
  { additionalProperties: false },
)
export type Block = Static<typeof Block>

/** What the provider says of one subject of a quota whose limit is `upstream`. */
export const Learned = Type.Object(
  {
    quota: name('Name of the quota.'),
    subject: Subject,
    limit: Type.Union([amount('Units per window.'), Type.Null()], {
      description: 'Units per window that the provider allows; null: it never said.',
    }),
    deniedUntilMs: Type.Union([instant('End.'), Type.Null()], {
      description: 'The quota is gone until then, as the provider said when it refused a call. Unix milliseconds.',
    }),
    elsewhere: amount(
      'Units that somebody else used of it in the window, not through these gateways, or through them before a reset by hand.',
    ),
    untilMs: instant('End of that window, or earlier, when the provider refills or lets calls pass again.'),
    asOfMs: Type.Optional(instant('When the provider said so; a reset by hand after that makes it void.')),
  },
  { additionalProperties: false },
)
export type Learned = Static<typeof Learned>

/** A rate that the analyzer set beside a quota, so that what is left of it lasts. */
export const Pace = Type.Object(
  {
    quota: name('Name of the quota.'),
    subject: Subject,
    amount: amount("Units in one period of the quota's pace."),
    untilMs: instant('The reset that it is to last until.'),
  },
  { additionalProperties: false },
)
export type Pace = Static<typeof Pace>

/** For a while nobody is told of alerts. */
export const Silence = Type.Object(
  {
    quota: Type.Union([name('Name of the quota.'), Type.Null()], { description: 'Of which quota; null: of all.' }),
    subject: Type.Union([Subject, Type.Null()], { description: 'Whose; null: of each subject. Needs a quota.' }),
    untilMs: instant('End; what is still wrong then is told.'),
    reason: Type.Optional(
      Type.String({ maxLength: REASON_CHARACTERS_MAX, description: 'Why, for whoever looks at the silences.' }),
    ),
  },
  { additionalProperties: false },
)
export type Silence = Static<typeof Silence>
