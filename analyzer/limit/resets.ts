/**
 * `POST /v1/resets`: what calls of one subject took that began until now counts no more for the rest of the window,
 * whenever it comes to be known. It is a change like others, so all limiters forget the same, also those that start later
 * or lose their counters.
 */
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import type { Control } from '../control/control.ts'
import { subjectEntryKey } from '../control/subject-entry.ts'
import type { Reset } from '../policy/adjustment.ts'
import type { Policy } from '../policy/policy.ts'
import type { Quota } from '../policy/quota.ts'
import { VALUE_CHARACTERS_MAX } from '../policy/quota-options.ts'
import { keyOf } from '../policy/subject.ts'
import { bucketAt, isResetting } from '../usage/window.ts'
import { claimOf } from './claiming.ts'
import { DoorError } from './door-error.ts'
import { type Claim, type LimitStore, LimitStoreError } from './limit-store.ts'
import { type NameOf, rawKeyProblem } from './raw-keys.ts'
import { addressAt } from './standing.ts'

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
  nameOf: NameOf
  principalOf: PrincipalOf
}

export function createResetRoutes({ store, control, policy, nameOf, principalOf }: ResetDeps): Routes {
  return server => {
    server.post<{ Body: Static<typeof ResetRequest> }>(
      '/v1/resets',
      {
        schema: {
          summary: 'Forget what a subject has used',
          description:
            'For the window that is open, or all that was used until now where there is none. Calls under way are forgotten ' +
            'with what they will have cost; what was held for them is held no more. Acts on all limiters within a second. ' +
            'Where the limit is `upstream`, what was used elsewhere is forgotten, too, until an answer of the provider says ' +
            'what is left: what it goes on counting then counts again, and while it refuses calls nothing passes.',
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
        const problem = rawKeyProblem(subject, nameOf)
        if (problem !== null) throw new DoorError(400, 'subject_invalid', problem)
        if (quota.window.kind === 'held') {
          throw new DoorError(400, 'reset_invalid', 'calls under way are counted until they end: release them instead')
        }
        return forget({ store, control, policy }, { quota, subject, subjectKey }, { by: principal.name, reason })
      },
    )
  }
}

async function forget(
  { store, control, policy }: Pick<ResetDeps, 'store' | 'control' | 'policy'>,
  { quota, subject, subjectKey }: { quota: Quota; subject: Record<string, string>; subjectKey: string },
  who: { by: string; reason: string | null },
): Promise<Static<typeof ResetAnswer>> {
  const nowMs = store.nowMs()
  const allowance = policy().allowance(quota, subjectKey, nowMs)
  const claim = claimOf(quota, subjectKey, { cost: 0, allowance, nowMs })
  const used = await usedOf(store, claim)
  const { endMs: untilMs } = bucketAt(quota.window, nowMs)
  const before = isResetting(quota.window) ? policy().adjusted(quota, subjectKey, nowMs).reset : null
  const forgiven = used + (before?.used ?? 0)
  const value: Reset = { quota: quota.name, subject, used: forgiven, fromMs: nowMs, untilMs }
  const key = subjectEntryKey(quota.name, subjectKey)
  const { version } = control.current('reset', key)
  await control.change({ kind: 'reset', key, version, value, ...who })
  const told = { ...addressAt(claim, nowMs), sinceMs: nowMs, amount: 0, drain: claim.drain }
  // For limiters that share the counters and have not heard of it yet; should they be away, the next decision tells.
  await store.raise([told]).catch(ignoreAway)
  return { used, untilMs }
}

/** What the subject has used. */
async function usedOf(store: LimitStore, claim: Claim): Promise<number> {
  const nobody = { gateway: '', requestId: null, caller: '' }
  const rest = { verb: 'check', ...nobody, isDryRun: true, expiresAtMs: null, note: null } as const
  const { standings } = await store.decide({ ...rest, claims: [{ ...claim, isEnforced: false }] })
  return standings[0]?.used ?? 0
}

function ignoreAway(error: unknown): void {
  if (!(error instanceof LimitStoreError)) throw error
}
