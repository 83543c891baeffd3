/** The metrics that the roles export, as the sources declare them: most are not in a scrape before their event has happened. */
import { readFileSync } from 'node:fs'

const SOURCES = [
  ...['deploy/http-telemetry.ts', 'deploy/rpc-telemetry.ts', 'deploy/process-metrics.ts'],
  ...['collector/events.ts', 'analyzer/events.ts', 'analyzer/alert/events.ts'],
]
const NAME = /'quotacast_\w+'/g
const DECLARED =
  /(counter|create\w*(?:Counter|Gauge|Histogram))\(\s*'(quotacast_\w+)',\s*(?:\{[^}]*?description:\s*)?(?:'([^']+)'|"([^"]+)")/g

/** In Markdown. Throws where a declaration cannot be read. */
export function metricTable(repository: string): string {
  const rows = SOURCES.flatMap(file => {
    const text = readFileSync(`${repository}${file}`, 'utf8')
    const found = Array.from(text.matchAll(DECLARED), ([, make = '', name, one, other]) => {
      const kind = make.replace(/^create(Observable)?/, '').toLowerCase()
      return `| \`${name}\` | ${kind} | ${one ?? other} |`
    })
    if (found.length !== text.match(NAME)?.length) throw new Error(`a metric of ${file} cannot be read`)
    return found
  })
  return ['| metric | kind | what it tells |', '| --- | --- | --- |', ...rows].join('\n')
}
