/** A board as a page: its head, and its panels in Grafana's grid of 24 columns. */
import { readFileSync } from 'node:fs'
import type { BoardAnswers, PanelAnswers } from './board-answers.ts'
import { type BoardJson, configOf, type FieldConfig, type PanelJson } from './board-json.ts'
import { colorOf, drawChart, dressed } from './chart-svg.ts'
import { type Answer, type Cell, type Chart, joinCharts, toChart } from './frames.ts'
import { formatInstant, formatValue } from './units.ts'

export const BOARD_WIDTH = 1_400
const CSS = readFileSync(new URL('board.css', import.meta.url), 'utf8')
const EDGE = 16
const GAP = 8
const ROW_PX = 30
const HEAD_PX = 30
const LEGEND_PX = 24
const ROWS_MAX = 40
const COLUMN_MIN_PX = 150
const LABELS_MAX = 160
const VALUE_PX_MAX = 40

const COLUMN_PX = (BOARD_WIDTH - 2 * EDGE + GAP) / 24
const widthOf = (columns: number) => columns * COLUMN_PX - GAP
const heightOf = (rows: number) => rows * (ROW_PX + GAP) - GAP

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')

export function drawBoard(board: BoardJson, { range, chosen, panels, changes }: BoardAnswers, nowMs: number): string {
  const rows = Math.max(...board.panels.map(({ gridPos: { y, h } }) => y + h))
  const drawn = board.panels.map(panel => {
    const { x, y, w, h } = panel.gridPos
    const place = `left:${x * COLUMN_PX}px;top:${y * (ROW_PX + GAP)}px;width:${widthOf(w)}px;height:${heightOf(h)}px`
    if (panel.type === 'row') return `<h2 style="${place}">${escaped(panel.title)}</h2>`
    return drawPanel(panel, panels.get(panel), { place, changes, nowMs })
  })
  const variables = chosen.map(
    ([label, text]) => `<span class="variable"><b>${escaped(label)}</b>${escaped(text)}</span>`,
  )
  return `<!doctype html><meta charset="utf-8"><style>${CSS}</style>
<header><h1>${escaped(board.title)}</h1><span class="range">${formatInstant(range.fromMs).slice(0, 16)} to ${formatInstant(range.toMs).slice(0, 16)} UTC</span></header>
${variables.length === 0 ? '' : `<nav>${variables.join('')}</nav>`}
<main style="height:${heightOf(rows)}px">${drawn.join('\n')}</main>
<footer>Drawn by Quotacast's repository from the board's JSON and the answers that its statements get over the demo's synthetic calls; not by Grafana.</footer>`
}

interface Context {
  place: string
  changes: readonly number[]
  nowMs: number
}

function drawPanel(panel: PanelJson, answered: PanelAnswers | undefined, context: Context): string {
  const remark = answered?.remark ?? null
  const body = answered?.answers == null ? '<p class="empty">needs Prometheus</p>' : drawBody(panel, answered, context)
  const head = `<h3>${escaped(panel.title)}${remark === null ? '' : `<i>${remark}</i>`}</h3>`
  return `<section class="${panel.type}" style="${context.place}">${head}${body}</section>`
}

function drawBody(panel: PanelJson, { answers, range }: PanelAnswers, context: Context): string {
  const [first = { columns: [], rows: [] }] = answers ?? []
  switch (panel.type) {
    case 'stat':
      return drawStat(panel, first, context.nowMs)
    case 'table':
      return drawTable(panel, first, context.nowMs)
    case 'xychart':
      return drawLines(panel, overNumbers(first), { from: 0, to: 1 }, context)
    default:
      return drawLines(panel, joinCharts((answers ?? []).map(toChart)), { from: range.fromMs, to: range.toMs }, context)
  }
}

const empty = (panel: PanelJson) => `<p class="empty">${escaped(panel.fieldConfig?.defaults.noValue ?? 'No data')}</p>`

/** The colour of the highest threshold that the value reaches. */
const thresholdColor = ({ thresholds }: FieldConfig, value: number): string =>
  colorOf(thresholds?.steps.findLast(step => step.value === null || value >= step.value)?.color ?? 'green')

/** Grafana draws the last number of a stat, and no other kind of column. */
function drawStat(panel: PanelJson, { columns, rows }: Answer, nowMs: number): string {
  const column = columns.findIndex(({ kind }) => kind === 'number')
  const value = rows.at(-1)?.[column] ?? null
  if (value === null) return empty(panel)
  const config = configOf(panel, columns[column]?.name ?? '')
  const text = formatValue(Number(value), config, nowMs)
  const size = Math.min(VALUE_PX_MAX, (1.4 * widthOf(panel.gridPos.w)) / text.length)
  return `<p class="value" style="color:${thresholdColor(config, Number(value))};font-size:${size}px">${text}</p>`
}

function drawTable(panel: PanelJson, { columns, rows }: Answer, nowMs: number): string {
  if (rows.length === 0) return empty(panel)
  const shown = columns.flatMap((column, index) => {
    const config = configOf(panel, column.name)
    return config.custom?.hidden === true ? [] : [{ ...column, index, config }]
  })
  const styles = shown.map(({ config: { custom } }) =>
    custom?.width === undefined
      ? `min-width:${custom?.minWidth ?? COLUMN_MIN_PX}px;flex:1 1 0`
      : `flex:0 0 ${custom.width}px`,
  )
  const line = (cells: readonly string[], name: string) =>
    `<div class="${name}">${cells.map((cell, index) => `<div class="${shown[index]?.kind}" style="${styles[index]}">${cell}</div>`).join('')}</div>`
  const body = rows.slice(0, ROWS_MAX).map(row =>
    line(
      shown.map(({ index, config, kind }) => drawCell(row[index] ?? null, config, kind === 'time', nowMs)),
      'line',
    ),
  )
  return `<div class="grid">${line(
    shown.map(({ name }) => escaped(name)),
    'line names',
  )}${body.join('')}</div>`
}

function drawCell(value: Cell, config: FieldConfig, isTime: boolean, nowMs: number): string {
  if (value === null || value === '') return escaped(config.noValue ?? '')
  const isPlainTime = isTime && config.unit === undefined
  const text =
    typeof value === 'string' ? value : isPlainTime ? formatInstant(value) : formatValue(value, config, nowMs)
  const type = config.custom?.cellOptions?.type
  const color = thresholdColor(config, Number(value))
  if (type === 'gauge') {
    const share = Math.max(0, Math.min(1, Number(value) / (config.max ?? 1)))
    return `<span class="gauge"><i style="width:${100 * share}%;background:${color}"></i></span><b style="color:${color}">${text}</b>`
  }
  const style = type === 'color-text' ? ` style="color:${color}"` : ''
  return `<span${config.links === undefined ? '' : ' class="link"'}${style}>${escaped(text)}</span>`
}

function drawLines(
  panel: PanelJson,
  chart: Chart,
  ends: { from: number; to: number },
  { place, changes, nowMs }: Context,
): string {
  if (chart.times.length === 0) return empty(panel)
  const [width = 0, height = 0] = ['width', 'height'].map(name =>
    Number(new RegExp(`${name}:([\\d.]+)`).exec(place)?.[1]),
  )
  const series = dressed(panel, chart)
  const legend = legendOf(series, width)
  const lines = drawChart(chart, {
    ...{ panel, changes: panel.type === 'timeseries' ? changes : [], nowMs, ...ends },
    width: Math.floor(width - 8),
    height: Math.floor(height - HEAD_PX - LEGEND_PX * legend.length - 6),
  })
  return `${lines}<div class="legend">${legend.flat().join('')}</div>`
}

/** Lines of the legend; its height is taken from the chart. */
function legendOf(series: readonly { name: string; color: string }[], width: number): string[][] {
  const lines: string[][] = [[]]
  let used = 0
  for (const { name, color } of series) {
    const needed = Math.min(LABELS_MAX, name.length) * 6.6 + 34
    if (used + needed > width - 16) {
      lines.push([])
      used = 0
    }
    used += needed
    lines.at(-1)?.push(`<span><i style="background:${color}"></i>${escaped(name)}</span>`)
  }
  return lines
}

/** Numbers over the first of them. */
const overNumbers = ({ columns, rows }: Answer): Chart => ({
  times: rows.map(([first]) => Number(first)),
  series: columns
    .slice(1)
    .map(({ name }, index) => ({ name, values: rows.map(row => row[index + 1] as number | null) })),
})
