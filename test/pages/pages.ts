/** Everything that is written from guides, fixtures and declarations, and kept in the tree: `npm run pages`. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { GUIDES } from '../../deploy/gateways/guides.ts'
import { EXAMPLE_DESTINATION, renderGuide } from '../../deploy/gateways/render.ts'
import { FIXTURES } from '../fixtures/sources/index.ts'
import { metricTable } from './metric-table.ts'
import { filledFields } from './source-fields.ts'
import { sourceTable } from './source-table.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
export const GATEWAYS_FOLDER = 'deploy/gateways'
/** A text, with the table between the comments of that name. */
const withTable = (page: string, name: string, table: string): [string, string] => {
  const place = new RegExp(`(?<=<!-- ${name} -->\\n)[\\s\\S]*?(?=<!-- /${name} -->)`)
  return [page, readFileSync(pathOf(page), 'utf8').replace(place, () => `${table}\n`)]
}

export const pathOf = (page: string): string => `${REPOSITORY}${page}`

/** Path from the top of the tree, and the text. */
export function allPages(): Map<string, string> {
  const dialects = [...new Set(GUIDES.map(({ dialect }) => dialect))]
  const fields = new Map(
    dialects.map(dialect => [dialect, filledFields(FIXTURES.filter(fixture => fixture.dialect === dialect))] as const),
  )
  const pages = GUIDES.map((guide): [string, string] => {
    const to = { ...EXAMPLE_DESTINATION, source: guide.name }
    return [`${GATEWAYS_FOLDER}/${guide.name}.md`, `${renderGuide(guide, to, fields.get(guide.dialect))}\n`]
  })
  return new Map([
    [`${GATEWAYS_FOLDER}/fields.json`, `${JSON.stringify(Object.fromEntries(fields), null, 2)}\n`],
    ...pages,
    withTable('collector/README.md', 'sources', sourceTable(GUIDES, FIXTURES, fields)),
    withTable('dashboards/README.md', 'metrics', metricTable(REPOSITORY)),
  ])
}
