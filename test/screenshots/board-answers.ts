/** The answers that the panels of a board get: statements from the store as the user that Grafana is, expressions from Prometheus. */
import { type ClickHouseClient, createClient } from '@clickhouse/client'
import { STORE_DATABASE } from '../../collector/store/tables.ts'
import { type Expansion, expand, rangeOf, secondsOf, type Values } from '../dashboards/expand.ts'
import type { BoardJson, PanelJson, Target } from './board-json.ts'
import { type Answer, type Cell, type Column, toChart } from './frames.ts'
import type { Prometheus } from './prometheus.ts'

/** Points that a panel asks for at most. */
const POINTS = 800

interface Range {
  fromMs: number
  toMs: number
}

export interface PanelAnswers {
  /** `null` for a source that is not there. */
  answers: readonly Answer[] | null
  range: Range
  /** Said in the head of the panel, where its time is not the board's. */
  remark: string | null
}

export interface BoardAnswers {
  range: Range
  /** Labels of the variables, and what is chosen. */
  chosen: readonly (readonly [label: string, text: string])[]
  panels: ReadonlyMap<PanelJson, PanelAnswers>
  changes: readonly number[]
}

export interface Sources {
  clickhouse: ClickHouseClient
  prometheus: Prometheus | null
}

export const openClickHouse = (url: string, password: string): ClickHouseClient =>
  createClient({ url, username: 'grafana', password, database: STORE_DATABASE })

export async function answerBoard(board: BoardJson, { clickhouse, prometheus }: Sources): Promise<BoardAnswers> {
  const nowMs = Date.now()
  const range = rangeOf(board.time, nowMs)
  const { variables, chosen } = await chooseVariables(board, range, clickhouse)
  const panels = new Map<PanelJson, PanelAnswers>()
  for (const panel of board.panels) {
    const { targets = [] } = panel
    const isOfPrometheus = targets.some(({ expr }) => expr !== undefined)
    const known = isOfPrometheus && panel.type === 'timeseries' ? prometheus?.range() : range
    const shown = known ?? range
    const stepSeconds = stepOf(panel, shown)
    const ask = (target: Target) =>
      target.rawSql === undefined
        ? (prometheus?.ask(target, panel.type === 'timeseries' ? { ...shown, stepSeconds } : { ...shown }) ?? null)
        : read(clickhouse, expand(target.rawSql, { ...shown, stepSeconds, variables }))
    const answers = await Promise.all(targets.map(ask))
    const remark = shown === range ? null : `Last ${Math.round((shown.toMs - shown.fromMs) / 60_000)} minutes`
    panels.set(panel, { answers: answers.every(one => one !== null) ? answers : null, range: shown, remark })
  }
  const [annotation] = board.annotations.list
  const changes = await read(
    clickhouse,
    expand(annotation?.target.rawSql ?? '', { ...range, stepSeconds: 60, variables }),
  )
  return { range, chosen, panels, changes: toChart(changes).times }
}

const stepOf = ({ interval = '1s' }: PanelJson, { fromMs, toMs }: Range): number =>
  Math.max(secondsOf(interval), Math.ceil((toMs - fromMs) / 1000 / POINTS))

/** As a board is opened: all values, or the first one where only one can be chosen. */
async function chooseVariables({ templating }: BoardJson, range: Range, clickhouse: ClickHouseClient) {
  const variables: Record<string, Values> = {}
  const chosen: [string, string][] = []
  for (const { name, label, type, query = '', multi } of templating.list) {
    if (type !== 'query') continue
    const expansion: Expansion = { ...range, stepSeconds: 60, variables }
    const [first = []] = multi ? [] : (await read(clickhouse, expand(query, expansion))).rows
    variables[name] = multi ? 'all' : [String(first[0] ?? '')]
    chosen.push([label, multi ? 'All' : String(first.at(-1) ?? '')])
  }
  return { variables, chosen }
}

async function read(client: ClickHouseClient, query: string): Promise<Answer> {
  const answer = await client.query({ query, format: 'JSONCompact' })
  const { meta, data } = (await answer.json()) as { meta: { name: string; type: string }[]; data: Cell[][] }
  const columns = meta.map(({ name, type }): Column => ({ name, kind: kindOf(type) }))
  const rows = data.map(row => row.map((cell, index) => toCell(cell, columns[index]?.kind)))
  return { columns, rows }
}

function kindOf(type: string): Column['kind'] {
  if (/^(Nullable\()?DateTime/.test(type)) return 'time'
  return /^(Nullable\()?(U?Int|Float)/.test(type) ? 'number' : 'text'
}

function toCell(cell: Cell, kind: Column['kind'] | undefined): Cell {
  if (cell === null || kind === 'text') return cell
  return kind === 'time' ? Date.parse(`${String(cell).replace(' ', 'T')}Z`) : Number(cell)
}
