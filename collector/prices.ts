/** What a call costs where the gateway gives no cost: unit prices by provider and model, from config. */
import Type, { type Static } from 'typebox'
import { type CallRecord, TEXT_CHARACTERS_MAX } from './call-record.ts'

const PRICES_MAX = 10_000
/** Distinct (provider, model) pairs whose price is remembered; beyond that the list is searched anew. */
const REMEMBERED_MAX = 10_000
const MICROS = 1_000_000

const name = (description: string) => Type.String({ minLength: 1, maxLength: TEXT_CHARACTERS_MAX, description })
const amount = (description: string) => Type.Optional(Type.Number({ minimum: 0, maximum: 1e9, description }))

export const PriceEntry = Type.Object(
  {
    provider: Type.Optional(name('Provider as in the record; absent is any.')),
    model: Type.Optional(name('Model as in the record, a trailing * is a prefix; absent is any.')),
    inputPerMillionTokens: amount('Price of a million input tokens that came from no cache.'),
    cachedInputPerMillionTokens: amount('Price of a million cached input tokens; absent, that of the others.'),
    outputPerMillionTokens: amount('Price of a million output tokens.'),
    perCall: amount('Price of a call, whatever its tokens.'),
  },
  { additionalProperties: false },
)
export type PriceEntry = Static<typeof PriceEntry>

/** The config section `prices`: the first entry that fits a call holds. */
export const PriceOptions = Type.Array(PriceEntry, {
  maxItems: PRICES_MAX,
  default: [],
  description: 'Prices in the configured currency; the first entry that fits a call holds.',
})

/** What a price looks at. */
export type PricedCall = Pick<
  CallRecord,
  'provider' | 'model' | 'outcome' | 'inputTokens' | 'cachedInputTokens' | 'outputTokens'
>

export interface Prices {
  /**
   * Millionths of the currency, or `null` where no price fits or a count that has a price is unknown: an unknown cost is
   * not free. A `limited` call reached no provider and costs 0.
   */
  costMicros(call: PricedCall): number | null
}

export function createPrices(entries: readonly PriceEntry[]): Prices {
  const remembered = new Map<string, PriceEntry | null>()
  const priceOf = (provider: string | null, model: string | null): PriceEntry | null => {
    const key = `${provider?.length ?? 0}:${provider ?? ''}${model ?? ''}`
    const known = remembered.get(key)
    if (known !== undefined) return known
    const price = entries.find(entry => fits(entry.provider, provider) && fits(entry.model, model)) ?? null
    if (remembered.size < REMEMBERED_MAX) remembered.set(key, price)
    return price
  }
  if (entries.length === 0) return { costMicros: () => null }
  return {
    costMicros(call) {
      const price = priceOf(call.provider, call.model)
      if (price === null) return null
      return call.outcome === 'limited' ? 0 : costOf(price, call)
    },
  }
}

function fits(wanted: string | undefined, actual: string | null): boolean {
  if (wanted === undefined) return true
  if (actual === null) return false
  return wanted.endsWith('*') ? actual.startsWith(wanted.slice(0, -1)) : actual === wanted
}

/** A price per million tokens in the currency is a price per token in its millionths. */
function costOf(price: PriceEntry, call: PricedCall): number | null {
  const { inputPerMillionTokens: input = 0, outputPerMillionTokens: output = 0, perCall = 0 } = price
  const cached = price.cachedInputPerMillionTokens ?? input
  if (call.inputTokens === null && (input > 0 || cached > 0)) return null
  if (call.outputTokens === null && output > 0) return null
  // Gateways that report no cached tokens are charged for all of them: rather too much than too little.
  const cachedTokens = call.cachedInputTokens ?? 0
  const freshTokens = Math.max(0, (call.inputTokens ?? 0) - cachedTokens)
  return Math.round(freshTokens * input + cachedTokens * cached + (call.outputTokens ?? 0) * output + perCall * MICROS)
}
