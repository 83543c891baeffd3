/**
 * What can be changed at run time: quotas, other limits for single subjects, grants, blocks, silences. A change states the version
 * that it replaces, so that of two that are made at once one is told (409); it holds everywhere within a second, in the
 * middle of windows, and is a row of the audit.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import Type, { type Static, type TSchema } from 'typebox'
import type { PrincipalOf, Routes } from '../../collector/principal.ts'
import { unknownChannels } from '../alert/alert-options.ts'
import type { Control } from '../control/control.ts'
import type { Wish } from '../control/fold.ts'
import { isAddressRange } from '../limit/blocks.ts'
import { type NameOf, rawKeyProblem } from '../limit/raw-keys.ts'
import { Block, Grant, Override, REASON_CHARACTERS_MAX, Silence } from '../policy/adjustment.ts'
import type { Policy } from '../policy/policy.ts'
import { parseQuota, QUOTAS_MAX, QuotaError } from '../policy/quota.ts'
import { QuotaOptions } from '../policy/quota-options.ts'
import { keyOf } from '../policy/subject.ts'
import { PAGE_MAX } from './cursor.ts'
import { createList, KEY, ListQuery, listAnswer } from './policy-list.ts'
import { allTenantsAsked, RequestError } from './request-error.ts'

const ADJUSTMENTS_MAX = 100_000
/** No more than a page of them holds, so that who ends them sees all. */
const SILENCES_MAX = PAGE_MAX

export interface PolicyDeps {
  control: Control
  policy: () => Policy
  /** Names of the quotas of the config, which nobody changes here. */
  configured: ReadonlySet<string>
  labelColumns: readonly string[]
  /** Who can be told of alerts. */
  channels: ReadonlySet<string>
  nameOf: NameOf
  principalOf: PrincipalOf
}

type EditableKind = 'quota' | 'override' | 'grant' | 'block' | 'silence'

/** One kind of what can be changed. */
interface Editable {
  kind: EditableKind
  /** Of its addresses. */
  path: string
  singular: string
  schema: TSchema
  countMax: number
  description: string
  /** Why the value cannot be kept under the key, or `null`. */
  problemOf: (key: string, value: never, deps: PolicyDeps) => string | null
}

const EDITABLE: readonly Editable[] = [
  {
    kind: 'quota',
    path: '/v1/quotas',
    singular: 'quota',
    schema: QuotaOptions,
    countMax: QUOTAS_MAX,
    description: 'Quotas by API beside those of the config, which are listed too and can be changed there only.',
    problemOf: quotaProblem,
  },
  {
    kind: 'override',
    path: '/v1/overrides',
    singular: 'override',
    schema: Override,
    countMax: ADJUSTMENTS_MAX,
    description: 'Other limits for single subjects.',
    problemOf: (_key, { quota, subject }: Override, { policy }) => subjectProblem(policy(), quota, subject),
  },
  {
    kind: 'grant',
    path: '/v1/grants',
    singular: 'grant',
    schema: Grant,
    countMax: ADJUSTMENTS_MAX,
    description: 'More for a time, for one subject or for each. It is removed an hour after its end.',
    problemOf: (_key, { quota, subject, fromMs, untilMs }: Grant, { policy }) =>
      untilMs <= fromMs ? 'untilMs is not after fromMs' : subjectProblem(policy(), quota, subject),
  },
  {
    kind: 'block',
    path: '/v1/blocks',
    singular: 'block',
    schema: Block,
    countMax: ADJUSTMENTS_MAX,
    description:
      'Consumers, tenants and addresses that may not pass at all. One that has an end is removed an hour after it.',
    problemOf: (_key, { what, value }: Block) =>
      what === 'address' && !isAddressRange(value) ? 'value is no address, and no range such as 203.0.113.0/24' : null,
  },
  {
    kind: 'silence',
    path: '/v1/silences',
    singular: 'silence',
    schema: Silence,
    countMax: SILENCES_MAX,
    description: 'Whiles in which nobody is told of alerts: of a subject, a quota, or any.',
    problemOf: (_key, { quota, subject }: Silence, { policy }) => {
      if (quota !== null) return subjectProblem(policy(), quota, subject)
      return subject === null ? null : 'a subject needs the quota that tells it'
    },
  },
]

function quotaProblem(key: string, quota: QuotaOptions, { labelColumns, channels }: PolicyDeps): string | null {
  if (quota.name !== key) return `name is ${quota.name}, the address says ${key}`
  const [unknown] = unknownChannels(quota, channels)
  if (unknown !== undefined) return `alerts.channels: there is no channel ${unknown} in the config`
  try {
    parseQuota(quota, labelColumns)
    return null
  } catch (error) {
    if (error instanceof QuotaError) return error.message
    throw error
  }
}

function subjectProblem(policy: Policy, name: string, subject: Record<string, string> | null): string | null {
  const quota = policy.byName.get(name)
  if (quota === undefined) return `there is no quota ${name}`
  if (subject === null || keyOf(quota, subject) !== null) return null
  const dimensions = quota.per.map(dimension => dimension.name).join(', ')
  return `subject must name ${dimensions === '' ? 'nothing' : dimensions}, by which the quota ${name} tells its subjects`
}

/** What names calls in the value. */
const namedBy = ({ subject, match, what, value }: Partial<Override & QuotaOptions & Block>): object => ({
  ...match,
  ...subject,
  ...(what === 'consumer' && { consumer: value }),
})

const tags = ['policy']
const Params = Type.Object({ key: Type.String({ pattern: KEY, description: 'Its name.' }) })
const Version = Type.Integer({
  minimum: 0,
  // The next one is stored, too.
  maximum: Number.MAX_SAFE_INTEGER - 1,
  description: 'Version that is replaced; 0 for a new one.',
})
const Reason = Type.Optional(Type.String({ maxLength: REASON_CHARACTERS_MAX, description: 'Why, for the audit.' }))
const DeleteQuery = Type.Object({ version: Version, reason: Reason }, { additionalProperties: false })
const Saved = Type.Object({
  key: Type.String(),
  version: Type.Integer({ description: 'To be stated by the next change.' }),
})

export function createPolicyRoutes(deps: PolicyDeps): Routes {
  return server => {
    for (const editable of EDITABLE) addRoutes(server, editable, deps)
  }
}

function addRoutes(server: FastifyInstance, editable: Editable, deps: PolicyDeps): void {
  const { kind, path, singular, schema } = editable
  const list = createList(`${singular}s`, editable, deps)
  const Body = Type.Object({ version: Version, reason: Reason, value: schema }, { additionalProperties: false })
  const change = async (request: FastifyRequest, wish: Pick<Wish, 'key' | 'version' | 'value' | 'reason'>) => {
    await deps.control.change({ kind, ...wish, by: deps.principalOf(request).name })
    return { key: wish.key, version: wish.version + 1 }
  }
  server.get<{ Querystring: ListQuery }>(
    path,
    {
      schema: {
        summary: `List ${singular}s`,
        description: editable.description,
        tags,
        querystring: ListQuery,
        response: { 200: listAnswer(`${singular}s`, schema) },
      },
      config: { access: 'read' },
    },
    request => {
      allTenantsAsked(deps.principalOf(request).tenant)
      return list(request.query)
    },
  )
  server.put<{ Params: Static<typeof Params>; Body: Static<typeof Body> }>(
    `${path}/:key`,
    {
      schema: {
        summary: `Make or change one of the ${singular}s`,
        description: `${editable.description} 409 when \`version\` is not the present one.`,
        tags,
        params: Params,
        body: Body,
        response: { 200: Saved },
      },
      config: { access: 'admin' },
    },
    async request => {
      allTenantsAsked(deps.principalOf(request).tenant)
      const { key } = request.params
      const { value, version, reason = null } = request.body
      checkChange(editable, key, value as object, deps)
      return change(request, { key, version, value, reason })
    },
  )
  server.delete<{ Params: Static<typeof Params>; Querystring: Static<typeof DeleteQuery> }>(
    `${path}/:key`,
    {
      schema: {
        summary: `Remove one of the ${singular}s`,
        description: '404 when there is none, 409 when `version` is not the present one.',
        tags,
        params: Params,
        querystring: DeleteQuery,
        response: { 200: Saved },
      },
      config: { access: 'admin' },
    },
    async request => {
      allTenantsAsked(deps.principalOf(request).tenant)
      const { key } = request.params
      const { version, reason = null } = request.query
      if (kind === 'quota') refuseConfigured(key, deps)
      if (deps.control.current(kind, key).value === null)
        throw new RequestError(404, 'NOT_FOUND', `There is no ${singular} ${key}.`)
      return change(request, { key, version, value: null, reason })
    },
  )
}

function checkChange(editable: Editable, key: string, value: object, deps: PolicyDeps): void {
  const { kind, countMax, singular } = editable
  if (kind === 'quota') refuseConfigured(key, deps)
  const isNew = deps.control.current(kind, key).value === null
  if (isNew && deps.control.keys(kind).length >= countMax)
    throw new RequestError(409, 'TOO_MANY', `There are ${countMax} ${singular}s already: remove one first.`)
  const problem = rawKeyProblem(namedBy(value), deps.nameOf) ?? editable.problemOf(key, value as never, deps)
  if (problem !== null) throw new RequestError(400, 'VALUE_INVALID', problem)
}

function refuseConfigured(key: string, { configured }: PolicyDeps): void {
  if (configured.has(key))
    throw new RequestError(409, 'CONFIGURED', `${key} is a quota of the config: change it there.`)
}
