/** Which source a request speaks for. */
import type { FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import type { Principal } from '../principal.ts'
import { ReceiveError } from './request-body.ts'
import { type CallSource, isSeenBy } from './source.ts'
import type { Sources } from './sources.ts'

/** Names the source where the path does not; also in the metadata of gRPC. */
export const SOURCE_HEADER = 'x-quotacast-source'

export const SourceParams = Type.Object({
  source: Type.String({ maxLength: 64, description: 'Name of a source of the config, or of a dialect.' }),
})
export type SourceParams = Static<typeof SourceParams>

/** Throws `ReceiveError`, which names the sources that there are, but for those of other tenants than the caller's. */
export function sourceOf(sources: Sources, name: string, { tenant: own }: Pick<Principal, 'tenant'>): CallSource {
  const source = sources.find(name)
  if (source !== undefined) return source
  const names = sources.names.filter(one => isSeenBy({ tenant: sources.find(one)?.tenant ?? null }, own))
  throw new ReceiveError('SOURCE_UNKNOWN', `There is no source ${JSON.stringify(name)}, only ${names.join(', ')}.`)
}

/** `Content-Type` without its parameters, in lower case; empty where there is none. */
export const mediaTypeOf = (request: FastifyRequest): string =>
  (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
