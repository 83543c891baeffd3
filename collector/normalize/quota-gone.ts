/**
 * How AI providers say that a quota is gone, as against a call that failed for another reason. A 429 alone does not tell who
 * refused it, these words do: they are the provider's own.
 */

/** Codes and types of errors, with nothing but letters and digits, in lower case. */
const QUOTA_GONE_CODES = new Set([
  // OpenAI and who speaks like it; Azure; Cerebras; LiteLLM's class of a provider's error.
  'insufficientquota',
  'ratelimitexceeded',
  'billinghardlimitreached',
  'toomanyrequests',
  'toomanyrequestserror',
  'requestquotaexceeded',
  'tokenquotaexceeded',
  'quotaexceeded',
  'ratelimitreached',
  'ratelimiterror',
  // Gemini and Vertex.
  'resourceexhausted',
  // Mistral.
  'ratelimited',
  'servicetiercapacityexceeded',
  // Bedrock and other services of AWS.
  'throttlingexception',
  'throttlederror',
  'servicequotaexceededexception',
  'toomanyrequestsexception',
  // DashScope, DeepSeek, OpenRouter.
  'throttlingratequota',
  'throttlingallocationquota',
  'throttlingburstrate',
  'arrearage',
  'insufficientbalance',
  'insufficientcredits',
  // APIPark, when all keys of a provider are used up.
  'keystemporarilyexhausted',
])

/** The same in sentences, for providers whose code is only the status. */
const QUOTA_GONE_WORDS = [
  'keys? temporarily exhausted',
  'resource(?: has been)? exhausted',
  'exceeded your current quota',
  'exceeded (?:the )?(?:token|call|request)s? rate limit',
  '(?:quota|rate limit|usage limit|spending limit|budget) (?:has been |was )?(?:exceeded|reached|exhausted)',
  'rate limit reached for',
  'credit balance is too low',
  'insufficient (?:balance|credits?|quota|funds)',
  'too many (?:tokens|requests), please wait',
  'you are using a trial key, which is limited to',
].join('|')
const quotaGoneWords = new RegExp(QUOTA_GONE_WORDS, 'i')

const CODE_CHARACTERS_MAX = 64
const MESSAGE_CHARACTERS_MAX = 2048

/**
 * True when a provider's error, by its code, type or message, means that a quota of the key is gone: the outcome is then
 * `exhausted`. Not for what the gateway itself writes when one of its own limits refuses a call.
 */
export const isQuotaGone = (...words: readonly (string | null)[]): boolean =>
  words.some(word => word !== null && (isQuotaGoneCode(word) || isQuotaGoneMessage(word)))

const isQuotaGoneCode = (word: string) =>
  word.length <= CODE_CHARACTERS_MAX && QUOTA_GONE_CODES.has(word.replace(/[^a-z0-9]/gi, '').toLowerCase())

const isQuotaGoneMessage = (word: string) => quotaGoneWords.test(word.slice(0, MESSAGE_CHARACTERS_MAX))
