/**
 * `POST /v1/resets`: what one subject has used counts no more for the rest of the window. It is a change like others, so
 * all limiters forget the same, also those that start later; what was used stays known.
 */
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import type { Control } from '../control/control.ts'
import { subjectEntryKey } from '../control/subject-entry.ts'
import type { Reset } from '../policy/adjustment.ts'
import { keyOf, type Policy } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { VALUE_CHARACTERS_MAX } from '../policy/quota-options.ts'
import { bucketAt } from '../usage/window.ts'
import { claimOf } from './claiming.ts'
import { DoorError } from './door-error.ts'
import type { LimitStore } from './limit-store.ts'

const ResetRequest = Type.Object(
  {
    quota: Type.String({ minLength: 1, maxLength: VALUE_CHARACTERS_MAX, description: 'Name of the quota.' }),
    subject: Type.Record(Type.String(), Type.String({ maxLength: VALUE_CHARACTERS_MAX }), {
      description: "The quota's `per` dimensions and their values.",
    }),
    reason: Type.Optional(Type.String({ maxLength: 2_048, description: 'Why, for the audit.' })),
  },
  { additionalProperties: false },
)

const ResetAnswer = Type.Object({
  used: Type.Number({ description: 'Units that count no more.' }),
  untilMs: Type.Integer({
    description:
      'End of the window, Unix milliseconds. Of a sliding window and a rate: when all of it is forgotten anyway.',
  }),
})

export interface ResetDeps {
  store: LimitStore
  control: Control
  policy: () => Policy
  principalOf: PrincipalOf
}

export function createResetRoutes({ store, control, policy, principalOf }: ResetDeps): Routes {
  return server => {
    server.post<{ Body: Static<typeof ResetRequest> }>(
      '/v1/resets',
      {
        schema: {
          summary: 'Forget what a subject has used',
          description:
            'For the window that is open, or all that was used until now where there is none; estimates that are held stay ' +
            'held. Acts on all limiters within a second.',
          tags: ['policy'],
          body: ResetRequest,
          response: { 200: ResetAnswer },
        },
        config: { access: 'admin' },
      },
      async request => {
        const { quota: name, subject, reason = null } = request.body
        const principal = principalOf(request)
        if (principal.tenant !== null) throw new DoorError(403, 'tenant_forbidden', 'this token is for one tenant')
        const quota = policy().byName.get(name)
        if (quota === undefined) throw new DoorError(404, 'not_found', `there is no quota ${name}`)
        const subjectKey = keyOf(quota, subject)
        if (subjectKey === null) {
          const dimensions = quota.per.map(dimension => dimension.name).join(', ')
          throw new DoorError(400, 'subject_invalid', `subject must name: ${dimensions}`)
        }
        if (quota.window.kind === 'held') {
          throw new DoorError(400, 'reset_invalid', 'calls under way are counted until they end: release them instead')
        }
        const nowMs = store.nowMs()
        const { used, ofReset } = await usedBy(store, quota, subjectKey, nowMs, policy())
        const { startMs, endMs } = bucketAt(quota.window, nowMs)
        const fromMs = quota.window.kind === 'rate' ? nowMs : startMs
        const value: Reset = { quota: name, subject, used: ofReset, fromMs, untilMs: endMs }
        const key = subjectEntryKey(name, subjectKey)
        const { version } = control.current('reset', key)
        await control.change({ kind: 'reset', key, version, value, by: principal.name, reason })
        return { used, untilMs: endMs }
      },
    )
  }
}

/** What the subject has used, and what of it the reset has to name: of a sliding window, the present slot's part. */
async function usedBy(
  store: LimitStore,
  quota: Quota,
  subjectKey: string,
  nowMs: number,
  policy: Policy,
): Promise<{ used: number; ofReset: number }> {
  const allowance = { ...policy.allowance(quota, subjectKey, nowMs), limit: Number.MAX_SAFE_INTEGER }
  const claim = { ...claimOf(quota, subjectKey, { cost: 0, allowance, nowMs }), isEnforced: false }
  const claims = [claim]
  if (claim.slots !== null) claims.push({ ...claim, slots: { ...claim.slots, sinceMs: claim.startMs, forgiven: 0 } })
  const rest = { verb: 'check', gateway: '', requestId: null, isDryRun: true, expiresAtMs: null, note: null } as const
  const { standings } = await store.decide({ ...rest, claims })
  const used = standings[0]?.used ?? 0
  return { used, ofReset: standings.at(-1)?.used ?? 0 }
}
