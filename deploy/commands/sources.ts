import { createSources } from '../../collector/receive/sources.ts'
import { type Command, type Invocation, UsageError } from '../command.ts'
import type { Config } from '../config-schema.ts'
import { addressIn, destinationIn, filledIn, guideOf } from '../gateways/filled-in.ts'
import type { Destination } from '../gateways/guide.ts'
import { GUIDES } from '../gateways/guides.ts'
import { EXAMPLE_DESTINATION, fieldsOf, renderGuide } from '../gateways/render.ts'

export const command: Command = {
  usage: '[show NAME] [--url URL] [--token TOKEN]',
  takesArguments: true,
  description:
    'Lists what can be shipped, and what can ask before each call: the sources of the config, and the gateways that need ' +
    'none. `show` prints what to paste into a gateway for both, as the pages in deploy/gateways do.',
  options: {
    url: {
      type: 'string',
      value: 'URL',
      description: `Where the gateway reaches the collector (${EXAMPLE_DESTINATION.url}).`,
    },
    limiter: {
      type: 'string',
      value: 'URL',
      description: `Where the gateway reaches the limiter (${EXAMPLE_DESTINATION.limiterUrl}).`,
    },
    token: {
      type: 'string',
      value: 'TOKEN',
      description: 'Token to put into the snippets, of scopes ingest and check.',
    },
    brokers: { type: 'string', value: 'HOST:PORT,…', description: 'Kafka brokers to put into the snippets.' },
  },
  examples: [
    'sources',
    'sources show nginx',
    'sources show kong --url https://quotacast.internal:7411 --limiter https://quotacast.internal:7412 --token "$TOKEN"',
    'sources --json',
  ],
  async run(invocation) {
    const [verb, name, ...more] = invocation.positionals
    const config = await invocation.config()
    if (verb === undefined) {
      list(invocation, config)
      return 0
    }
    if (verb !== 'show' || name === undefined || more.length > 0)
      throw new UsageError('it is `sources` or `sources show NAME`')
    show(invocation, config, name)
    return 0
  },
}

interface Listed {
  name: string
  dialect: string
  title: string
  ways: readonly string[]
  /** How it can ask the limiter. */
  asks: readonly string[]
  fields: readonly string[]
}

function list(invocation: Invocation, config: Config): void {
  const configured = createSources(config.sources, config.mappings).configured.map(
    ({ source: { name, dialect }, receive }): Listed => ({
      ...{ name, dialect: dialect.name, title: 'of the config', ways: [receive.kind], asks: [] },
      fields: fieldsOf(dialect.name),
    }),
  )
  const guided = GUIDES.map(
    ({ name, dialect, title, ways, asks = [] }): Listed => ({
      ...{ name, dialect, title, ways, fields: fieldsOf(dialect) },
      asks: asks.map(setup => setup.title),
    }),
  )
  if (invocation.isJson) {
    invocation.print(JSON.stringify({ configured, guides: guided }, null, 2))
    return
  }
  const rows = [...configured, ...guided]
  const width = Math.max(...rows.map(({ name }) => name.length))
  const titleWidth = Math.max(...rows.map(({ title }) => title.length))
  const line = ({ name, title, ways, asks }: Listed) =>
    `${name.padEnd(width)}  ${title.padEnd(titleWidth)}  ${ways.join(', ')}${asks.length === 0 ? '' : '; asks'}`
  for (const row of rows) invocation.print(line(row))
  invocation.print('\nsources show NAME prints what to paste into the gateway.')
}

/** A source of the config is sent under its own name, in the way of its dialect's guide. */
function show(invocation: Invocation, config: Config, name: string): void {
  const source = createSources(config.sources, config.mappings).find(name)
  const guide = guideOf(name, source?.dialect.name ?? name)
  if (guide === undefined) {
    const why = source === undefined ? 'there is no source' : 'there is no guide to the source'
    throw new UsageError(`${why} ${JSON.stringify(name)}; guides: ${GUIDES.map(other => other.name).join(', ')}`)
  }
  const to = destinationOf(invocation, config, name)
  invocation.print(invocation.isJson ? JSON.stringify(filledIn(guide, to), null, 2) : renderGuide(guide, to))
}

/** Flags come before the config, and that before what stands for something to be filled in. */
function destinationOf(invocation: Invocation, config: Config, source: string): Destination {
  return {
    ...destinationIn(config, source),
    ...defined({ token: invocation.text('token'), brokers: invocation.text('brokers') }),
    ...collectorAt(addressOf(invocation, 'url')),
    ...limiterAt(addressOf(invocation, 'limiter')),
  }
}

const defined = (values: Readonly<Record<string, string | undefined>>) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))

type Address = ReturnType<typeof addressIn>

const collectorAt = (address: Address | null): Partial<Destination> => address ?? {}
const limiterAt = (address: Address | null): Partial<Destination> =>
  address === null ? {} : { limiterUrl: address.url, limiterHost: address.host, limiterPort: address.port }

function addressOf(invocation: Invocation, flag: 'url' | 'limiter'): Address | null {
  const url = invocation.text(flag)
  if (url === undefined) return null
  if (!URL.canParse(url)) throw new UsageError(`--${flag}: this is not a URL`)
  return addressIn(new URL(url))
}
