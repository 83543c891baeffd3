/** A chart as SVG: lines, areas and bars over time, or over a number, with Grafana's colours. */
import { configOf, type FieldConfig, type PanelJson } from './board-json.ts'
import { type Chart, type Series, stack } from './frames.ts'
import { formatValue } from './units.ts'

/** Grafana's classic palette, dark. */
const PALETTE = [
  '#73bf69',
  '#f2cc0c',
  '#8ab8ff',
  '#ff780a',
  '#f2495c',
  '#5794f2',
  '#b877d9',
  '#705da0',
  '#37872d',
  '#fade2a',
  '#447ebc',
]
const NAMED: Record<string, string> = {
  green: '#73bf69',
  orange: '#ff9830',
  red: '#f2495c',
  blue: '#5794f2',
  purple: '#b877d9',
  yellow: '#fade2a',
  gray: '#8e8e8e',
}
export const colorOf = (name: string): string => NAMED[name] ?? name

const PAD = { top: 8, right: 12, bottom: 22, letter: 6.6 }
const TICKS = 5
const TICK_PX = 78
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const STEPS_MS = [1, 2, 5, 10, 15, 30].map(minutes => minutes * MINUTE_MS)
STEPS_MS.push(...[1, 2, 3, 6, 12, 24, 48, 96].map(hours => hours * HOUR_MS))

export interface DrawnSeries extends Series {
  /** What the values of a stacked one stand on. */
  floors?: readonly (number | null)[]
  color: string
  config: FieldConfig
}

interface Frame {
  width: number
  height: number
  /** Of the horizontal axis. */
  from: number
  to: number
}

export interface ChartOptions extends Frame {
  panel: PanelJson
  /** Instants that are marked. */
  changes: readonly number[]
  nowMs: number
}

/** The series with what the panel says of each. */
export const dressed = (panel: PanelJson, { series }: Chart): DrawnSeries[] =>
  series.map((one, index) => {
    const config = configOf(panel, one.name)
    const fixed = config.color?.fixedColor
    return { ...one, config, color: fixed === undefined ? (PALETTE[index % PALETTE.length] ?? '') : colorOf(fixed) }
  })

export function drawChart(chart: Chart, options: ChartOptions): string {
  const { panel, width, height, from, to, changes, nowMs } = options
  const drawn = dressed(panel, chart)
  const isStacked = panel.fieldConfig?.defaults.custom?.stacking?.mode === 'normal'
  const lines = isStacked ? stack(drawn) : drawn.map(one => standing(one, drawn))
  const config = configOf(panel, '')
  const isShown = (index: number) => (chart.times[index] ?? 0) >= from && (chart.times[index] ?? 0) <= to
  const values = lines.flatMap(one => one.values.filter((value, index) => value !== null && isShown(index)) as number[])
  const ticks = ticksOf(config.min ?? Math.min(0, ...values), config.max ?? Math.max(...values, 0))
  const labels = ticks.map(tick => formatValue(tick, axisConfig(config, ticks), nowMs))
  const left = 14 + Math.max(...labels.map(label => label.length)) * PAD.letter
  const x = scale(from, to, left, width - PAD.right)
  const y = scale(ticks[0] ?? 0, ticks.at(-1) ?? 1, height - PAD.bottom, PAD.top)
  const plot = { x, y, base: y(Math.max(0, ticks[0] ?? 0)), times: chart.times, left, width, height }
  const isTime = panel.type === 'timeseries'
  const marks = new Set(changes.filter(at => at >= from && at <= to).map(at => Math.round(x(at))))
  const clip = `plot-${panel.gridPos.x}-${panel.gridPos.y}`
  return `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"><g class="axis">
${ticks.map((tick, index) => `<path d="M${left} ${y(tick)}H${width - PAD.right}"/><text x="${left - 6}" y="${y(tick) + 4}" text-anchor="end">${labels[index]}</text>`).join('')}
${(isTime ? timeTicks(from, to, width - left) : ticksOf(from, to).map(at => [at, formatValue(at, { unit: 'percentunit' }, nowMs)] as const)).map(([at, label]) => `<path d="M${x(at)} ${PAD.top}V${height - PAD.bottom}"/><text x="${Math.min(x(at), width - 20)}" y="${height - 6}" text-anchor="middle">${label}</text>`).join('')}
</g>${thresholdLines(config, plot)}<clipPath id="${clip}"><rect x="${left}" y="0" width="${width - left - PAD.right}" height="${height}"/></clipPath><g clip-path="url(#${clip})">
${lines.map(one => drawSeries(one, plot)).join('\n')}
${[...marks].map(at => `<path class="change" d="M${at} ${PAD.top}V${height - PAD.bottom}"/>`).join('')}</g></svg>`
}

/** Equal decimals on all of an axis. */
function axisConfig({ unit, decimals }: FieldConfig, ticks: readonly number[]): FieldConfig {
  const step = (ticks[1] ?? 1) - (ticks[0] ?? 0)
  const scaled = unit === 'percentunit' ? 100 * step : step
  const needed = String(Number(scaled.toPrecision(6))).split('.')[1]?.length ?? 0
  const config = unit === undefined ? {} : { unit }
  if (unit === 'percentunit' || scaled < 1) return { ...config, decimals: needed }
  return decimals === undefined || scaled >= 1 ? config : { ...config, decimals }
}

const scale = (from: number, to: number, fromPx: number, toPx: number) => (value: number) =>
  Math.round(10 * (fromPx + ((value - from) / (to - from || 1)) * (toPx - fromPx))) / 10

/** Round values that hold the range. */
function ticksOf(from: number, to: number): number[] {
  const span = to - from || 1
  const power = 10 ** Math.floor(Math.log10(span / TICKS))
  const step = ([1, 2, 2.5, 5].find(times => times * power * TICKS >= span) ?? 10) * power
  const first = Math.floor(from / step + 1e-9)
  const last = Math.ceil((from + span) / step - 1e-9)
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)))
}

function timeTicks(from: number, to: number, width: number): [at: number, label: string][] {
  const step = STEPS_MS.find(each => (to - from) / each <= width / TICK_PX) ?? 7 * DAY_MS
  const first = Math.ceil(from / step) * step
  return Array.from({ length: Math.floor((to - first) / step) + 1 }, (_, index) => {
    const at = first + index * step
    const [date = '', time = ''] = new Date(at).toISOString().split('T')
    const isMidnight = at % DAY_MS === 0 && to - from > DAY_MS
    return [at, step >= DAY_MS || isMidnight ? date.slice(5).replace('-', '/') : time.slice(0, 5)]
  })
}

interface Plot {
  x: (at: number) => number
  y: (value: number) => number
  base: number
  times: readonly number[]
  left: number
  width: number
  height: number
}

const thresholdLines = ({ custom, thresholds }: FieldConfig, { y, left, width }: Plot): string =>
  custom?.thresholdsStyle === undefined
    ? ''
    : (thresholds?.steps ?? [])
        .flatMap(({ value, color }) =>
          value === null
            ? []
            : [
                `<path d="M${left} ${y(value)}H${width - PAD.right}" stroke="${colorOf(color)}" stroke-dasharray="6 4" opacity="0.7" fill="none"/>`,
              ],
        )
        .join('')

/** With the values of the series that its area reaches down to. */
const standing = (one: DrawnSeries, lines: readonly DrawnSeries[]): DrawnSeries => {
  const below = lines.find(({ name }) => name === one.config.custom?.fillBelowTo)
  return below === undefined ? one : { ...one, floors: below.values }
}

function drawSeries(series: DrawnSeries, plot: Plot): string {
  const { values, floors, color, config } = series
  const { custom = {} } = config
  if (custom.drawStyle === 'bars') return drawBars(series, plot)
  const { x, y, base, times } = plot
  const at = (index: number, value: number) => `${x(times[index] ?? 0)} ${y(value)}`
  // Over numbers it is that of the points.
  const opacity = custom.show === undefined ? (custom.fillOpacity ?? 0) / 100 : 0
  const dash = custom.lineStyle === undefined ? '' : `stroke-dasharray="${custom.lineStyle.dash?.join(' ') ?? ''}"`
  return runsOf(values, custom.spanNulls === true)
    .map(run => {
      const points = run.map(index => at(index, values[index] ?? 0))
      if (points.length === 1) return dot(points[0] ?? '', color)
      const floor = run.toReversed().map(index => {
        const value = floors?.[index] ?? null
        return value === null ? `${x(times[index] ?? 0)} ${base}` : at(index, value)
      })
      const area = `<path d="M${[...points, ...floor].join('L')}Z" fill="${color}" fill-opacity="${opacity}"/>`
      const line = `<path d="M${points.join('L')}" stroke="${color}" stroke-width="${custom.lineWidth ?? 1}" ${dash} fill="none"/>`
      const dots = custom.show === undefined ? [] : points.map(point => dot(point, color))
      return [opacity === 0 ? '' : area, line, ...dots].join('')
    })
    .join('')
}

const dot = (point: string, color: string): string => {
  const [x, y] = point.split(' ')
  return `<circle cx="${x}" cy="${y}" r="2.5" fill="${color}"/>`
}

/** A bar for each value, as wide as the shortest step allows. */
function drawBars({ values, floors, color }: DrawnSeries, { x, y, base, times }: Plot): string {
  const steps = times.slice(1).map((time, index) => x(time) - x(times[index] ?? 0))
  const width = Math.max(1, 0.8 * Math.min(...steps, 40))
  return values
    .map((value, index) => {
      if (value === null) return ''
      const top = y(value)
      const height = Math.max(0, (floors === undefined ? base : y(floors[index] ?? 0)) - top)
      return `<rect x="${(x(times[index] ?? 0) - width / 2).toFixed(1)}" y="${top}" width="${width.toFixed(1)}" height="${height.toFixed(1)}" fill="${color}" fill-opacity="0.85"/>`
    })
    .join('')
}

/** Indexes of values that one line connects. */
function runsOf(values: readonly (number | null)[], spansNulls: boolean): number[][] {
  const runs: number[][] = [[]]
  for (const [index, value] of values.entries()) {
    if (value !== null) runs.at(-1)?.push(index)
    else if (!spansNulls) runs.push([])
  }
  return runs.filter(run => run.length > 0)
}
