/**
 * What the body of an AI provider's answer says, where a gateway logs bodies: the model, the tokens, and whether a quota is
 * gone. Nothing else of a body is ever looked at, and nothing of it is kept.
 */
import type { Draft } from './draft.ts'
import { type Fields, fieldsAt, firstText, isFields, numberOf, textOf } from './fields.ts'
import { isQuotaGone } from './quota-gone.ts'
import { type TokenUsage, tokenUsageOf } from './token-usage.ts'

export interface ProviderAnswer extends TokenUsage {
  model: string | null
  /** The provider said that a quota of the key is gone. */
  isQuotaGone: boolean
  /** What the provider asked the caller to wait, milliseconds. */
  retryAfterMs: number | null
}

/** A longer body is not parsed as a whole; of a longer stream the beginning and the end are read all the same. */
const BODY_CHARACTERS_MAX = 2 ** 20
const EVENT_CHARACTERS_MAX = 2 ** 16
/** Events of a stream that are read: the model and Anthropic's input come first, the counts last. */
const FIRST_EVENTS = 4
const LAST_EVENTS = 8

/** The answer in a body, as an object or as text (JSON, server-sent events, lines of JSON); `null` where there is none. */
export function providerAnswerOf(body: unknown): ProviderAnswer | null {
  const parts = typeof body === 'string' ? partsOfText(body) : partsOfValue(body)
  let answer: ProviderAnswer | null = null
  for (const part of parts) {
    if (isFields(part)) answer = merged(answer, answerOf(part))
  }
  return answer
}

/**
 * Puts what a body says into a draft, where the gateway itself says nothing. Only for bodies that came from a provider:
 * `isQuotaGone` decides the outcome.
 */
export function addProviderAnswer(draft: Draft, body: unknown): void {
  const answer = providerAnswerOf(body)
  if (answer === null) return
  draft.model ??= answer.model
  if (draft.inputTokens === null && draft.outputTokens === null) {
    draft.inputTokens = answer.inputTokens
    draft.outputTokens = answer.outputTokens
    draft.cachedInputTokens = answer.cachedInputTokens
    draft.totalTokens ??= answer.totalTokens
  }
  if (answer.isQuotaGone) draft.outcome = 'exhausted'
  if (answer.retryAfterMs !== null) draft.upstreamLimits ??= { units: {}, retryAfterMs: answer.retryAfterMs }
}

function partsOfValue(body: unknown): readonly unknown[] {
  return Array.isArray(body) ? ends(body) : [body]
}

/** The beginning and the end of a list; Gemini streams an array. */
const ends = <T>(items: readonly T[]): readonly T[] =>
  items.length <= FIRST_EVENTS + LAST_EVENTS
    ? items
    : [...items.slice(0, FIRST_EVENTS), ...items.slice(items.length - LAST_EVENTS)]

function partsOfText(text: string): readonly unknown[] {
  const isJson = /^\s*[{[]/.test(text)
  if (isJson && text.length <= BODY_CHARACTERS_MAX) {
    const value = parsed(text)
    if (value !== null) return partsOfValue(value)
  }
  return [...eventsFrom(text, 0, FIRST_EVENTS), ...lastEventsOf(text)].map(parsed)
}

/** Up to `eventsMax` lines that hold JSON, from a position on. */
function eventsFrom(text: string, begin: number, eventsMax: number): string[] {
  const events: string[] = []
  for (let at = begin, lines = 0; at < text.length && events.length < eventsMax && lines < 4 * eventsMax; lines++) {
    const newline = text.indexOf('\n', at)
    const end = newline < 0 ? text.length : newline
    const event = end - at > EVENT_CHARACTERS_MAX ? null : jsonIn(text.slice(at, end))
    if (event !== null) events.push(event)
    at = end + 1
  }
  return events
}

/** The last events that say what the call used or why it failed. */
function lastEventsOf(text: string): string[] {
  const events: string[] = []
  for (let end = text.length, lines = 0; end > 0 && lines < 4 * LAST_EVENTS; lines++) {
    const newline = text.lastIndexOf('\n', end - 1)
    const event = end - newline > EVENT_CHARACTERS_MAX ? null : jsonIn(text.slice(newline + 1, end))
    if (event !== null) events.push(event)
    if (events.length >= LAST_EVENTS) break
    end = newline
  }
  return events.reverse()
}

const jsonIn = (line: string) => /^(?:data:)?\s*(\{.*\})\s*$/.exec(line)?.[1] ?? null

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Events tell the same thing again, better: what a later one says holds. */
function merged(before: ProviderAnswer | null, later: ProviderAnswer): ProviderAnswer {
  if (before === null) return later
  return {
    model: later.model ?? before.model,
    inputTokens: later.inputTokens || before.inputTokens,
    cachedInputTokens: later.cachedInputTokens ?? before.cachedInputTokens,
    outputTokens: later.outputTokens ?? before.outputTokens,
    totalTokens: later.totalTokens ?? before.totalTokens,
    isQuotaGone: later.isQuotaGone || before.isQuotaGone,
    retryAfterMs: later.retryAfterMs ?? before.retryAfterMs,
  }
}

/** The answer itself, or what an event of a stream has around it. */
const ENVELOPES = ['message', 'response', 'x_groq', 'body']

function answerOf(part: Fields): ProviderAnswer {
  const envelope = ENVELOPES.map(name => part[name]).find(isFields)
  const inner = envelope ?? part
  const usage = usageIn(part) ?? usageIn(inner)
  const error = errorIn(part) ?? errorIn(inner)
  return {
    model: firstText(part.model, part.modelVersion, inner.model, inner.modelVersion),
    ...tokenUsageOf(usage ?? {}),
    isQuotaGone: error !== null && isQuotaGoneError(error),
    retryAfterMs: error === null ? null : retryAfterMsOf(error),
  }
}

function usageIn(part: Fields): Fields | null {
  const usage =
    part.usage ?? part.usageMetadata ?? part['amazon-bedrock-invocationMetrics'] ?? fieldsAt(part, 'meta').tokens
  if (isFields(usage)) return usage
  return part.prompt_eval_count !== undefined || part.inputTextTokenCount !== undefined ? part : null
}

/** Providers have an `error`, or are one: Mistral, Bedrock, DashScope. */
function errorIn(part: Fields): Fields | null {
  if (isFields(part.error)) return part.error
  if (typeof part.error === 'string') return { message: part.error }
  if (isFields(part.throttlingException)) return { code: 'ThrottlingException' }
  const isError = part.object === 'error' || part.__type !== undefined || part.code !== undefined
  return isError || isNothingButMessage(part) ? part : null
}

/** `message`, and a status at most: what a model said comes with more. */
const isNothingButMessage = (part: Fields) => typeof part.message === 'string' && Object.keys(part).length <= 2

const isQuotaGoneError = (error: Fields) =>
  isQuotaGone(
    textOf(error.code),
    textOf(error.type),
    textOf(error.status),
    // `com.amazonaws.bedrock#ThrottlingException`
    textOf(error.__type)?.replace(/^.*#/, '') ?? null,
    textOf(error.message),
  )

/** Gemini's `google.rpc.RetryInfo`, with a duration such as `22s`. */
function retryAfterMsOf(error: Fields): number | null {
  if (!Array.isArray(error.details)) return null
  for (const detail of error.details.slice(0, LAST_EVENTS)) {
    const delay = isFields(detail) ? textOf(detail.retryDelay) : null
    const seconds = delay?.endsWith('s') === true ? numberOf(delay.slice(0, -1)) : null
    if (seconds !== null && seconds >= 0) return Math.round(seconds * 1000)
  }
  return null
}
