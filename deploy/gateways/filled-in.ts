/** Guides with their snippets filled in for one installation: what `sources show` prints and the console shows. */
import type { Config } from '../config-schema.ts'
import type { Destination, Guide, Setup } from './guide.ts'
import { GUIDES } from './guides.ts'
import { EXAMPLE_DESTINATION, fieldsOf } from './render.ts'

const HTTP_PORT = 80
const HTTPS_PORT = 443

/** The guide of a source and its dialect. Several gateways may share a dialect: then the one of that name. */
export function guideOf(name: string, dialect: string): Guide | undefined {
  const guides = GUIDES.filter(guide => guide.dialect === dialect || guide.name === dialect)
  return guides.find(guide => guide.name === name) ?? guides[0]
}

export function filledIn({ title, dialect, ways, setups, asks = [], notes }: Guide, to: Destination) {
  const filled = (some: readonly Setup[]) =>
    some.map(setup => ({
      title: setup.title,
      steps: setup.steps.map(({ text, snippet }) => ({ text, snippet: snippet?.of(to) ?? null })),
    }))
  const parts = { setups: filled(setups), asks: filled(asks) }
  return { name: to.source, title, dialect, ways, ...parts, notes, fields: fieldsOf(dialect) }
}

/** Where the config says that a source's calls are sent and asked about, and what stands for what it does not say. */
export function destinationIn({ collector, limiter, sources }: Config, source: string): Destination {
  const receive = sources[source]?.receive
  const { port } = collector
  return {
    ...EXAMPLE_DESTINATION,
    ...{ source, port, url: `http://${EXAMPLE_DESTINATION.host}:${port}`, grpcPort: collector.grpc.port },
    ...{ limiterPort: limiter.port, limiterGrpcPort: limiter.grpc.port },
    limiterUrl: `http://${EXAMPLE_DESTINATION.limiterHost}:${limiter.port}`,
    ...(receive?.kind === 'syslog_udp' || receive?.kind === 'syslog_tcp' ? { syslogPort: receive.port } : {}),
    ...(receive?.kind === 'kafka' ? { brokers: receive.brokers.join(',') } : {}),
  }
}

/** The parts of a URL as snippets spell them. */
export const addressIn = ({ protocol, hostname, port, origin }: URL) => ({
  ...{ url: origin, host: hostname },
  port: Number(port || (protocol === 'https:' ? HTTPS_PORT : HTTP_PORT)),
})
