/** `/v1/sources`: which gateways can be connected, and what to paste into each so that it ships its calls here. */
import type { FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import type { PrincipalOf, Routes } from '../collector/principal.ts'
import { type CallSource, isSeenBy } from '../collector/receive/source.ts'
import { type ConfiguredSource, createSources } from '../collector/receive/sources.ts'
import { urlOf } from './addresses.ts'
import type { Config } from './config-schema.ts'
import { addressIn, destinationIn, filledIn, guideOf } from './gateways/filled-in.ts'
import { GUIDES } from './gateways/guides.ts'
import { WAY_TITLES } from './gateways/render.ts'

const NAME_CHARACTERS_MAX = 64

const Listed = Type.Object({
  name: Type.String({ description: 'Of the source, as in `POST /v1/sources/{source}` of the collector.' }),
  title: Type.String(),
  dialect: Type.String({ description: 'What reads its logs.' }),
  ways: Type.Array(Type.String(), { description: 'How its calls can come in, the best first.' }),
  isConfigured: Type.Boolean({ description: 'A source of the config; the others need none.' }),
})
const ListAnswer = Type.Object({ sources: Type.Array(Listed) })

const Setup = Type.Object({
  title: Type.String(),
  steps: Type.Array(
    Type.Object({
      text: Type.String({ description: 'What to do, in Markdown.' }),
      snippet: Type.Union([Type.String(), Type.Null()], { description: 'What to paste, where there is something.' }),
    }),
  ),
})
const Guided = Type.Object({
  ...{ name: Type.String(), title: Type.String(), dialect: Type.String(), ways: Type.Array(Type.String()) },
  setups: Type.Array(Setup, { description: 'Ways to ship its calls here, the best first.' }),
  asks: Type.Array(Setup, { description: 'Ways to ask the limiter before each call, the best first.' }),
  notes: Type.Array(Type.String(), { description: 'What to watch, in Markdown.' }),
  fields: Type.Array(Type.String(), { description: 'Fields of a call record that its logs can fill.' }),
})

const Params = Type.Object({ name: Type.String({ minLength: 1, maxLength: NAME_CHARACTERS_MAX }) })
type Params = Static<typeof Params>

/** No gateway of that name can be connected. */
class SourceUnknownError extends Error {
  readonly statusCode = 404
  readonly code = 'SOURCE_UNKNOWN'
}

export function createSourceListRoutes(config: Config, principalOf: PrincipalOf): Routes {
  const sources = createSources(config.sources, config.mappings)
  const isSeen = (request: FastifyRequest, source: CallSource) => isSeenBy(source, principalOf(request).tenant)
  const tags = ['sources']
  return server => {
    server.get(
      '/v1/sources',
      {
        config: { access: 'read' },
        schema: {
          summary: 'Gateways that can be connected',
          description: 'The sources of the config, those of other tenants left out, and the gateways that need none.',
          ...{ tags, response: { 200: ListAnswer } },
        },
      },
      request => {
        const configured = sources.configured.filter(({ source }) => isSeen(request, source))
        return { sources: [...configured.map(toListed), ...guided()] }
      },
    )
    server.get<{ Params: Params }>(
      '/v1/sources/:name',
      {
        config: { access: 'read' },
        schema: {
          summary: 'How to connect a gateway',
          description:
            'Step by step, with what to paste. Snippets name the collector by the host under which this request came.',
          ...{ tags, params: Params, response: { 200: Guided } },
        },
      },
      request => {
        const { name } = request.params
        const source = sources.find(name)
        const isOther = source !== undefined && !isSeen(request, source)
        const guide = guideOf(name, isOther ? name : (source?.dialect.name ?? name))
        if (guide === undefined) throw new SourceUnknownError(`There is no guide to a source ${name}.`)
        const to = {
          ...destinationIn(isOther ? { ...config, sources: {} } : config, name),
          ...addressIn(collectorUrl(request, config)),
        }
        return { ...filledIn(guide, to), ways: guide.ways.map(way => WAY_TITLES[way]) }
      },
    )
  }
}

const guided = () =>
  GUIDES.map(({ name, title, dialect, ways }) => ({
    ...{ name, title, dialect, ways: ways.map(way => WAY_TITLES[way]), isConfigured: false },
  }))

const toListed = ({ source: { name, dialect }, receive }: ConfiguredSource) => ({
  ...{ name, title: name, dialect: dialect.name, ways: [receive.kind], isConfigured: true },
})

/** Who reaches the console under a name reaches the collector under it, unless they run on different machines. */
const collectorUrl = ({ hostname }: FastifyRequest, { collector }: Config): URL =>
  new URL(urlOf(hostname.replace(/^\[|\]$/g, ''), collector.port))
