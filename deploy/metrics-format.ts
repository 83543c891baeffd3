/**
 * The format in which a scraper wants metrics: OpenMetrics where it asks for that, and Prometheus' own, which is all that
 * the exporter writes, otherwise. https://prometheus.io/docs/specs/om/open_metrics_spec/
 */

export interface MetricsFormat {
  readonly contentType: string
  /** Answers the format's text to that of Prometheus' own format. */
  write(text: string): string
}

const PROMETHEUS: MetricsFormat = {
  contentType: 'text/plain; version=0.0.4; charset=utf-8',
  write: text => text,
}
/** Prometheus asked for the draft until 2.34; what we write is the same in both. */
const OPEN_METRICS_VERSIONS = ['1.0.0', '0.0.1']
/** The words that names have for units of OpenTelemetry's. */
const UNIT_WORDS: Readonly<Record<string, string>> = { s: 'seconds', By: 'bytes' }

/** The one that the header `Accept` likes best of those that there are; the first one of several. */
export function metricsFormat(accept = ''): MetricsFormat {
  const [best] = accept
    .split(',')
    .flatMap(toChoice)
    .toSorted((one, other) => other.quality - one.quality)
  return best?.format ?? PROMETHEUS
}

function toChoice(range: string): { format: MetricsFormat; quality: number }[] {
  const [type, ...parameters] = range.split(';').map(part => part.trim().toLowerCase())
  const given = new Map(parameters.map(parameter => parameter.split('=') as [string, string]))
  const quality = Number(given.get('q') ?? 1)
  const version = given.get('version')
  const isOpen = type === 'application/openmetrics-text' && OPEN_METRICS_VERSIONS.includes(version ?? '1.0.0')
  if (!(quality > 0) || (type !== 'text/plain' && !isOpen)) return []
  return [{ format: isOpen ? openMetrics(version ?? '1.0.0') : PROMETHEUS, quality }]
}

const openMetrics = (version: string): MetricsFormat => ({
  contentType: `application/openmetrics-text; version=${version}; charset=utf-8`,
  write: text => {
    const families = text.split(/^(?=# HELP )/m).filter(family => family.startsWith('# HELP '))
    return `${families.map(toOpenFamily).join('')}# EOF\n`
  },
})

/** What stands of one metric. */
function toOpenFamily(text: string): string {
  const [, exported = '', help = ''] = /^# HELP (\S+) (.*)\n/.exec(text) ?? []
  const [, type = ''] = /^# TYPE \S+ (\S+)\n/m.exec(text) ?? []
  const [, unit = ''] = /^# UNIT \S+ (\S+)\n/m.exec(text) ?? []
  const isInfo = exported === 'target_info'
  // Samples keep the ending, which the metric itself is named without.
  const ending = isInfo ? '_info' : type === 'counter' ? '_total' : ''
  const name = exported.slice(0, exported.length - ending.length)
  const word = UNIT_WORDS[unit]
  const series = text.replaceAll(/^#.*\n/gm, '')
  return [
    `# TYPE ${name} ${isInfo ? 'info' : type}\n`,
    word !== undefined && name.endsWith(`_${word}`) ? `# UNIT ${name} ${word}\n` : '',
    `# HELP ${name} ${help.replaceAll('"', '\\"')}\n`,
    // Bounds are numbers with a fraction.
    type === 'histogram' ? series.replaceAll(/([{,]le="\d+)"/g, '$1.0"') : series,
  ].join('')
}
