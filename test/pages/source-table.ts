/** The table of sources in `collector/README.md`: what each was tested against, and what it tells. */
import type { Guide } from '../../deploy/gateways/guide.ts'
import { WAY_TITLES } from '../../deploy/gateways/render.ts'
import type { Fixture } from '../fixtures/sources/fixture.ts'

/** Columns of what a source may tell, and the fields any of which say so. */
const TOLD: readonly (readonly [title: string, ...fields: string[]])[] = [
  ['id', 'requestId'],
  ['who', 'consumer', 'tenant'],
  ['route', 'route'],
  ['latency', 'latencyMs'],
  ['upstream', 'upstreamLatencyMs'],
  ['bytes', 'requestBytes', 'responseBytes'],
  ['model', 'model'],
  ['tokens', 'totalTokens'],
  ['cost', 'costMicros'],
  ['limits', 'upstreamLimits'],
]

const rowOf = (cells: readonly string[]) => `| ${cells.join(' | ')} |`

/** `fields`: what each dialect fills. */
export function sourceTable(
  guides: readonly Guide[],
  fixtures: readonly Fixture[],
  fields: ReadonlyMap<string, readonly string[]>,
): string {
  const titles = ['source', 'ways in', 'fixtures of', 'run for real', ...TOLD.map(([title]) => title)]
  const rows = guides.map(({ name, title, dialect, ways }) => {
    const filled = fields.get(dialect) ?? []
    const own = fixtures.filter(fixture => fixture.dialect === dialect)
    return [
      `[${title}](../deploy/gateways/${name}.md)`,
      ways.map(way => WAY_TITLES[way]).join(', '),
      own.map(({ version }) => version).join('; '),
      own.flatMap(({ real }) => real ?? []).join('; '),
      ...TOLD.map(([, ...needed]) => (needed.some(field => filled.includes(field)) ? 'yes' : '')),
    ]
  })
  return [titles, titles.map(() => '---'), ...rows].map(rowOf).join('\n')
}
