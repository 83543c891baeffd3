/** A guide as Markdown: what `quotacast sources show` prints, and the pages of this folder. */
import fields from './fields.json' with { type: 'json' }
import type { Destination, Guide, Run, Setup, Step, Way } from './guide.ts'

/** What each way in is called. */
export const WAY_TITLES: Readonly<Record<Way, string>> = {
  http: 'HTTP',
  otlp: 'OTLP/HTTP',
  'otlp-grpc': 'OTLP/gRPC',
  file: 'file',
  syslog: 'syslog',
  kafka: 'Kafka',
  'envoy-als': 'Envoy ALS',
}

/** What stands in a snippet where nobody said what to put there. */
export const EXAMPLE_DESTINATION: Omit<Destination, 'source'> = {
  url: 'http://quotacast:7411',
  host: 'quotacast',
  port: 7411,
  grpcPort: 7416,
  syslogPort: 5140,
  brokers: 'kafka:9092',
  limiterUrl: 'http://quotacast:7412',
  limiterHost: 'quotacast',
  limiterPort: 7412,
  limiterGrpcPort: 7413,
  token: 'QUOTACAST_TOKEN',
}

/** Fields of the record that a dialect can fill, as its fixtures show; none for one that is not built in. */
export const fieldsOf = (dialect: string): readonly string[] =>
  new Map<string, readonly string[]>(Object.entries(fields)).get(dialect) ?? []

/** Markdown without a line break at its end. `understood`: fields that the dialect can fill. */
export function renderGuide(guide: Guide, to: Destination, understood = fieldsOf(guide.dialect)): string {
  const { title, dialect, ways, notes } = guide
  const setups = guide.setups.flatMap(setup => renderSetup(setup, to))
  // Of a guide without a dialect of its own there is no source of its name.
  const source = to.source === guide.name ? dialect : to.source
  const asks = (guide.asks ?? []).flatMap(setup => renderSetup(setup, to, [renderRun(setup.run)]))
  const pasted = [...setups, ...asks].join()
  return [
    `# ${title}`,
    `Dialect \`${dialect}\`; ways in: ${ways.map(way => WAY_TITLES[way]).join(', ')}.`,
    ...(to.token === EXAMPLE_DESTINATION.token && pasted.includes(to.token) ? [tokenHint(guide, to)] : []),
    ...(understood.includes('tenant') ? [] : [tenantHint(guide, source)]),
    ...addressHints(pasted, to),
    '## Shipping its log',
    ...setups,
    ...(asks.length === 0 ? [] : ['## Asking before each call', ASKING, ...asks]),
    ...(understood.length === 0
      ? []
      : ['## What is understood', `${understood.map(field => `\`${field}\``).join(', ')}.`]),
    '## Good to know',
    notes.map(note => `- ${note}`).join('\n'),
    `Try it on a log of yours before anything is sent: \`npm run quotacast -- try --source ${source} FILE\`.`,
  ].join('\n\n')
}

const ASKING =
  'The limiter answers whether a call may pass. Ship the log as well: it settles what each call really took, once.'

function tokenHint({ asks }: Guide, { source, token }: Destination): string {
  const scopes = asks === undefined ? 'ingest' : 'ingest,check'
  const named = asks === undefined ? 'the scope `ingest`' : 'the scopes `ingest` (its log) and `check` (asking)'
  return `\`${token}\` stands for a token of ${named}: \`npm run -s quotacast -- token create --name ${source} --scopes ${scopes}\`.`
}

/** A record without the tenant that its question had would spend from other quotas, and what the question spent come back. */
function tenantHint({ asks }: Guide, source: string): string {
  const inConfig = `\`tenant: acme\` to the source \`${source}\` of the config`
  const both = asks === undefined ? inConfig : `${inConfig}, and \`--tenant acme\` where the token is made`
  return `Its log does not say whose the calls are. For quotas of a tenant add ${both}; or let \`keys\` say the tenant of each consumer.`
}

/** Where Quotacast has to listen for what is pasted, unless the gateway runs beside it. */
function addressHints(
  pasted: string,
  { host, port, grpcPort, limiterHost, limiterPort, limiterGrpcPort }: Destination,
) {
  const example = EXAMPLE_DESTINATION.host
  if (host !== example && limiterHost !== example) return []
  const listens = (part: string, http: number, grpc: number) => {
    const keys = [[http, 'host: 0.0.0.0'] as const, [grpc, 'grpc: { host: 0.0.0.0 }'] as const].flatMap(([at, key]) =>
      pasted.includes(String(at)) ? [key] : [],
    )
    return keys.length === 0 ? [] : [`\`${part}: { ${keys.join(', ')} }\``]
  }
  const parts = [...listens('collector', port, grpcPort), ...listens('limiter', limiterPort, limiterGrpcPort)]
  if (parts.length === 0) return []
  return [
    `\`${example}\` stands for the machine of Quotacast: \`127.0.0.1\` where the gateway runs on it. To be reached from others, its config has to say ${parts.join(' and ')}.`,
  ]
}

/** `more` stands before the steps. */
const renderSetup = ({ title, steps }: Setup, to: Destination, more: readonly string[] = []): string[] => [
  `### ${title}`,
  ...more,
  ...steps.map((step, index) => renderStep(step, index, to)),
]

function renderRun(run: Run): string {
  switch (run.by) {
    case 'tests':
      return `Run by the tests, with ${run.version}.`
    case 'hand':
      return `Run by hand, with ${run.version}, on ${run.on}.`
    case 'nobody':
      return 'Written from the documentation of the vendor, and not run by us.'
  }
}

function renderStep({ text, snippet }: Step, index: number, to: Destination): string {
  const step = `${index + 1}. ${text}`
  return snippet === undefined ? step : `${step}\n\n${fenced(snippet.language, snippet.of(to))}`
}

/** Snippets may hold fences themselves. They are not indented, so that they can be pasted as they stand. */
function fenced(language: string, text: string): string {
  const longest = Math.max(2, ...Array.from(text.matchAll(/`{3,}/g), ([fence]) => fence.length))
  const fence = '`'.repeat(longest + 1)
  return `${fence}${language}\n${text.replace(/\n+$/, '')}\n${fence}`
}
