/** The files that are made of the boards: Grafana's JSON, and the table of the README. */
import type { Board } from './board.ts'
import { drawBoard } from './draw.ts'

const TABLE_BEGIN = '<!-- panels -->'
const TABLE_END = '<!-- /panels -->'

/** File name and content. Functions, which the SDK leaves in queries, are no JSON. */
export const jsonFileOf = (board: Board): { name: string; content: string } => ({
  name: `${board.slug}.json`,
  content: `${JSON.stringify(drawBoard(board), null, 2)}\n`,
})

/** The README with the table of panels and their questions between its marks. Throws where it has no marks. */
export function withPanelTable(readme: string, boards: readonly Board[]): string {
  const [begin, end] = [readme.indexOf(TABLE_BEGIN), readme.indexOf(TABLE_END)]
  if (begin < 0 || end < begin) throw new Error(`dashboards/README.md has no ${TABLE_BEGIN} … ${TABLE_END}`)
  return `${readme.slice(0, begin + TABLE_BEGIN.length)}\n${boards.map(panelTable).join('\n\n')}\n${readme.slice(end)}`
}

function panelTable({ title, slug, question, rows }: Board): string {
  const panels = rows.flatMap(row => row.panels)
  const lines = panels.map(panel => `| ${panel.title} | ${panel.question} | ${sourceOf(panel.queries)} |`)
  return [
    `**${title}** ([\`json/${slug}.json\`](json/${slug}.json)). ${question}`,
    '',
    '| panel | question | from |',
    '| --- | --- | --- |',
    ...lines,
  ].join('\n')
}

const sourceOf = (queries: readonly { source: string }[]): string =>
  queries.some(({ source }) => source === 'prometheus') ? 'Prometheus' : 'ClickHouse'
