/** `GET /v1/sources`: which sources there are, and what came of each. */
import Type from 'typebox'
import { requireAllTenants } from '../all-tenants.ts'
import type { PrincipalOf, Routes } from '../principal.ts'
import type { Intake } from './intake.ts'
import type { Listeners } from './listeners.ts'
import type { Sources } from './sources.ts'

const text = (description: string) => Type.Union([Type.String(), Type.Null()], { description })

const SourceStatus = Type.Object(
  {
    name: Type.String({ description: 'As in `POST /v1/sources/{source}`.' }),
    isConfigured: Type.Boolean({ description: 'False for a dialect that is a source without any config.' }),
    dialect: Type.String({ description: 'The shape that it writes in.' }),
    receive: Type.String({ description: 'How its calls arrive, the `receive.kind` of the config.' }),
    gateway: text('Gateway of calls that name none.'),
    tenant: text('Tenant of callers of whom nothing else says it.'),
    timezone: Type.String({ description: 'Time zone of times that are written without one.' }),
    accepted: Type.Integer({ description: 'Calls that became durable.' }),
    skipped: Type.Integer({ description: 'What is no call and need not be one.' }),
    rejected: Type.Record(Type.String(), Type.Integer(), {
      description: 'Calls that could not be normalized, by reason.',
    }),
    problem: text('Why its calls do not come in, null when they do or nothing says otherwise.'),
    lastCallAtMs: Type.Union([Type.Integer(), Type.Null()], { description: 'When the last call was accepted.' }),
  },
  { $id: 'SourceStatus' },
)

const SourcesAnswer = Type.Object({
  sinceMs: Type.Integer({ description: 'Start of this process; all counts are from then on.' }),
  sources: Type.Array(SourceStatus, { description: 'Those of the config first.' }),
})

export interface SourceStatusDeps {
  sources: Sources
  intake: Pick<Intake, 'receivedFrom'>
  listeners: Pick<Listeners, 'problemOf'>
  principalOf: PrincipalOf
  sinceMs: number
}

/** The route that shows the sources. */
export function createSourceStatusRoutes({
  sources,
  intake,
  listeners,
  principalOf,
  sinceMs,
}: SourceStatusDeps): Routes {
  const configured = new Map(sources.configured.map(({ source, receive }) => [source.name, receive.kind]))
  const statuses = () =>
    sources.names.flatMap(name => {
      const source = sources.find(name)
      if (source === undefined) return []
      const { dialect, gateway, tenant, timezone } = source
      const receive = configured.get(name)
      return {
        ...{ name, isConfigured: receive !== undefined, dialect: dialect.name, receive: receive ?? 'http' },
        ...{ gateway, tenant, timezone, problem: listeners.problemOf(name) },
        ...intake.receivedFrom(name),
      }
    })
  return server => {
    server.get(
      '/v1/sources',
      {
        config: { access: 'read' },
        schema: {
          summary: 'Sources of calls',
          description: 'The sources of the config and the dialects, each with what came of it since the start.',
          tags: ['itself'],
          response: { 200: SourcesAnswer },
        },
      },
      request => {
        requireAllTenants(principalOf(request))
        return { sinceMs, sources: statuses() }
      },
    )
  }
}
