import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { emptyDraft } from '../../../collector/normalize/draft.ts'
import { addProviderAnswer, providerAnswerOf } from '../../../collector/normalize/provider-answer.ts'

const events = (...items: readonly object[]) =>
  items.map(item => `event: x\ndata: ${JSON.stringify(item)}\n\n`).join('')

const chunk = { id: 'c', object: 'chat.completion.chunk', model: 'gpt-5', choices: [{ delta: { content: 'a' } }] }

describe('tokens and model', () => {
  test.each([
    [
      'of a completion',
      {
        model: 'gpt-5-2025-08-07',
        choices: [],
        usage: {
          prompt_tokens: 210,
          completion_tokens: 88,
          total_tokens: 298,
          prompt_tokens_details: { cached_tokens: 128 },
        },
      },
      { model: 'gpt-5-2025-08-07', inputTokens: 210, cachedInputTokens: 128, outputTokens: 88, totalTokens: 298 },
    ],
    [
      "of OpenAI's responses",
      {
        model: 'gpt-5',
        error: null,
        usage: {
          input_tokens: 36,
          input_tokens_details: { cached_tokens: 4 },
          output_tokens: 87,
          output_tokens_details: { reasoning_tokens: 60 },
          total_tokens: 123,
        },
      },
      { model: 'gpt-5', inputTokens: 36, cachedInputTokens: 4, outputTokens: 87, totalTokens: 123 },
    ],
    [
      'of Anthropic, whose input leaves the cache out',
      {
        type: 'message',
        model: 'claude-sonnet-4-5',
        usage: {
          input_tokens: 10,
          cache_creation_input_tokens: 100,
          cache_read_input_tokens: 1000,
          output_tokens: 88,
        },
      },
      { model: 'claude-sonnet-4-5', inputTokens: 1110, cachedInputTokens: 1000, outputTokens: 88, totalTokens: null },
    ],
    [
      'of Gemini, whose thoughts are beside the candidates',
      {
        modelVersion: 'gemini-2.5-pro',
        usageMetadata: {
          promptTokenCount: 210,
          cachedContentTokenCount: 100,
          candidatesTokenCount: 80,
          thoughtsTokenCount: 8,
          totalTokenCount: 298,
        },
      },
      { model: 'gemini-2.5-pro', inputTokens: 210, cachedInputTokens: 100, outputTokens: 88, totalTokens: 298 },
    ],
    [
      'of Bedrock, whose input leaves the cache out',
      {
        usage: {
          inputTokens: 10,
          cacheReadInputTokens: 100,
          cacheWriteInputTokens: 0,
          outputTokens: 5,
          totalTokens: 115,
        },
      },
      { inputTokens: 110, cachedInputTokens: 100, outputTokens: 5, totalTokens: 115 },
    ],
    [
      'of Bedrock, when a model counts the cache in',
      { usage: { inputTokens: 110, cacheReadInputTokens: 100, outputTokens: 5, totalTokens: 115 } },
      { inputTokens: 110, cachedInputTokens: 100, outputTokens: 5, totalTokens: 115 },
    ],
    [
      'of Cohere',
      {
        id: 'a',
        usage: { billed_units: { input_tokens: 5, output_tokens: 2 }, tokens: { input_tokens: 71, output_tokens: 8 } },
      },
      { inputTokens: 71, outputTokens: 8 },
    ],
    [
      'of Ollama',
      { model: 'llama3', message: { content: 'a' }, done: true, prompt_eval_count: 26, eval_count: 298 },
      { model: 'llama3', inputTokens: 26, outputTokens: 298 },
    ],
    [
      'of an embedding',
      { model: 'e', usage: { prompt_tokens: 8, total_tokens: 8 } },
      { inputTokens: 8, outputTokens: null },
    ],
    ['of text', JSON.stringify({ model: 'm', usage: { prompt_tokens: '8' } }), { model: 'm', inputTokens: 8 }],
    [
      'of a stream',
      `${events(chunk, ...Array.from({ length: 500 }, () => chunk), { ...chunk, choices: [], usage: { prompt_tokens: 210, completion_tokens: 88 } })}data: [DONE]\n\n`,
      { model: 'gpt-5', inputTokens: 210, outputTokens: 88 },
    ],
    [
      'of a stream of Anthropic, that tells them apart from each other',
      events(
        {
          type: 'message_start',
          message: { model: 'claude', usage: { input_tokens: 10, cache_read_input_tokens: 5, output_tokens: 1 } },
        },
        ...Array.from({ length: 50 }, () => ({ type: 'content_block_delta', delta: { text: 'a' } })),
        { type: 'message_delta', delta: {}, usage: { output_tokens: 88 } },
        { type: 'message_stop' },
      ),
      { model: 'claude', inputTokens: 15, cachedInputTokens: 5, outputTokens: 88 },
    ],
    [
      "of a stream of OpenAI's responses",
      events(
        { type: 'response.created', response: { model: 'gpt-5', usage: null } },
        {
          type: 'response.completed',
          response: { model: 'gpt-5', usage: { input_tokens: 3, output_tokens: 4, total_tokens: 7 } },
        },
      ),
      { model: 'gpt-5', inputTokens: 3, outputTokens: 4, totalTokens: 7 },
    ],
    [
      'of an array that Gemini streams',
      [{ modelVersion: 'g' }, { usageMetadata: { promptTokenCount: 2, candidatesTokenCount: 3 } }],
      { model: 'g', inputTokens: 2, outputTokens: 3 },
    ],
  ])('%s', (_, body, answer) => {
    expect(providerAnswerOf(body)).toMatchObject({ isQuotaGone: false, ...answer })
  })

  test('of what was cut off are unknown', () => {
    expect(providerAnswerOf('{"model":"m","usage":{"prompt_tok')).toBeNull()
    expect(providerAnswerOf(null)).toBeNull()
    expect(providerAnswerOf('<html>')).toBeNull()
  })
})

describe('a quota is gone', () => {
  test.each([
    [{ error: { message: 'You exceeded…', type: 'insufficient_quota', param: null, code: 'insufficient_quota' } }],
    [{ error: { message: 'Rate limit reached', type: 'tokens', code: 'rate_limit_exceeded' } }],
    [{ type: 'error', error: { type: 'rate_limit_error', message: 'a' } }],
    [{ type: 'error', error: { type: 'invalid_request_error', message: 'Your credit balance is too low to …' } }],
    [{ error: { code: 429, message: 'a', status: 'RESOURCE_EXHAUSTED' } }],
    [[{ error: { code: 429, message: 'Resource has been exhausted (e.g. check quota).', status: 'x' } }]],
    [{ object: 'error', message: 'Requests rate limit exceeded', type: 'rate_limited', code: '1300' }],
    [{ message: 'Requests rate limit exceeded' }],
    [{ error: { code: '429', message: 'Requests to the model have exceeded token rate limit of your tier.' } }],
    [{ __type: 'com.amazon.coral.service#ThrottlingException', message: 'a' }],
    [{ message: 'Too many tokens, please wait before trying again.' }],
    [{ code: 'Throttling.AllocationQuota', message: 'a', request_id: 'b' }],
    [{ error: { message: 'Insufficient Balance', type: 'unknown_error', code: 'invalid_request_error' } }],
    [{ error: 'Keys Temporarily Exhausted' }],
    [events({ type: 'error', error: { type: 'rate_limit_error' } })],
  ])('in %j', body => {
    expect(providerAnswerOf(body)).toMatchObject({ isQuotaGone: true })
  })

  test.each([
    [{ error: { message: 'The model does not exist', type: 'invalid_request_error', code: 'model_not_found' } }],
    [{ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }],
    [{ id: 'a', message: { content: 'the quota was exceeded' }, usage: {} }],
    [{ id: 'a', choices: [{ message: { content: 'insufficient_quota' } }] }],
    [{ message: 'Unauthorized' }],
  ])('not in %j', body => {
    expect(providerAnswerOf(body)).toMatchObject({ isQuotaGone: false })
  })

  test('until when, as Gemini says it', () => {
    const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '22.5s' }]
    const body = { error: { code: 429, status: 'RESOURCE_EXHAUSTED', details } }
    expect(providerAnswerOf(body)).toMatchObject({ retryAfterMs: 22_500 })
    const draft = emptyDraft()
    addProviderAnswer(draft, body)
    expect(draft).toMatchObject({ outcome: 'exhausted', upstreamLimits: { units: {}, retryAfterMs: 22_500 } })
  })
})

test('what the gateway says itself is not replaced', () => {
  const draft = { ...emptyDraft(), model: 'own', inputTokens: 1, upstreamLimits: { units: {}, retryAfterMs: 1 } }
  addProviderAnswer(draft, { model: 'm', usage: { prompt_tokens: 9, completion_tokens: 9 } })
  expect(draft).toMatchObject({ model: 'own', inputTokens: 1, outputTokens: null, outcome: null })
})

test('no body throws', () => {
  const body = fc.oneof(fc.jsonValue(), fc.json(), fc.string())
  fc.assert(fc.property(body, anything => void providerAnswerOf(anything)))
})
