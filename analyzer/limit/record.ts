/** `POST /v1/record`: costs that are known afterwards. They are spent in any case, and nothing is denied. */
import Type, { type Static } from 'typebox'
import type { Routes } from '../../collector/principal.ts'
import type { DecisionIds } from './decision-id.ts'
import { type AskDeps, CALL_FIELDS, CALLS_MAX, type CallRequest, CheckAnswer, toAnswer, toAsk } from './http.ts'
import type { Limiter } from './limiter.ts'

const RecordRequest = Type.Object(CALL_FIELDS, { additionalProperties: false, $id: 'RecordRequest' })

const { decisionId, asOfMs, degraded, quotas } = CheckAnswer.properties
const RecordAnswer = Type.Object({ decisionId, asOfMs, degraded, quotas }, { $id: 'RecordAnswer' })
type RecordAnswer = Static<typeof RecordAnswer>

export interface RecordDeps extends AskDeps {
  limiter: Limiter
  decisionIds: DecisionIds
}

export function createRecordRoutes(deps: RecordDeps): Routes {
  const record = async (prepared: ReturnType<Limiter['prepare']>): Promise<RecordAnswer> => {
    const answer = toAnswer(await deps.limiter.record(prepared), deps.decisionIds)
    return { decisionId: answer.decisionId, asOfMs: answer.asOfMs, degraded: answer.degraded, quotas: answer.quotas }
  }
  return server => {
    server.post<{ Body: CallRequest | CallRequest[] }>(
      '/v1/record',
      {
        schema: {
          summary: 'Spend what a call has cost',
          description:
            'For costs that nobody knew before: spends in any case, over the limit too, and never denies. A call record ' +
            'with the same decision or request id corrects it. The call has ended: what the check with the same request ' +
            'id holds of `concurrent_requests` is given back. `degraded`: the limit store was away and nothing was ' +
            'spent; the call record still is, where call logs are shipped.',
          tags: ['limits'],
          body: Type.Union([RecordRequest, Type.Array(RecordRequest, { minItems: 1, maxItems: CALLS_MAX })]),
          response: { 200: Type.Union([RecordAnswer, Type.Array(RecordAnswer)]) },
        },
        config: { access: 'check' },
        serializerCompiler: () => answer => JSON.stringify(answer),
      },
      async request => {
        const { body } = request
        const prepare = (one: CallRequest) => deps.limiter.prepare(toAsk(deps, request, one))
        if (!Array.isArray(body)) return record(prepare(body))
        const answers: RecordAnswer[] = []
        for (const one of body.map(prepare)) answers.push(await record(one))
        return answers
      },
    )
  }
}
