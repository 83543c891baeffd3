/** What a subject used since its window began, and where it may go until the reset, against its limit. */
import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import type { PathAnswer } from '../../analyzer/api/forecast-path.ts'
import { type Columns, columnsOf, type FanChartProps, topOf } from './chart-columns.ts'
import { formatAmount, formatInstant, formatTick } from './format.ts'
import { html } from './html.ts'
import { useIsDark } from './use-media.ts'

const HEIGHT = { wide: 320, narrow: 240 }
const NARROW_PX = 520

export function FanChart(props: FanChartProps) {
  const { path, limit } = props
  const { unit, asOfMs } = path.forecast
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const limits = useRef(props)
  limits.current = props
  const [pointed, setPointed] = useState<string | null>(null)
  const isDark = useIsDark()
  const columns = columnsOf(props)
  // New colours need a new chart; new values do not.
  useEffect(() => {
    const element = box.current
    if (element === null) return
    const onPoint = (index: number | null) => setPointed(index === null ? null : wordsAt(limits.current, index))
    const made = new uPlot(optionsOf(element, limits, onPoint), columns as uPlot.AlignedData, element)
    plot.current = made
    const observer = new ResizeObserver(() => made.setSize(sizeOf(element)))
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [isDark])
  useEffect(() => plot.current?.setData(columns as uPlot.AlignedData), [path, limit, props.growth])
  const words = `${formatAmount(path.forecast.used, unit)} used until ${formatInstant(asOfMs, asOfMs)}; the limit is ${limit === null ? 'not known' : formatAmount(limit, unit)}.`
  return html`<figure class="chart">
    <div ref=${box} role="img" aria-label=${`Use against the limit. ${words} ${outlookWords(path)}`}></div>
    <figcaption>
      <span class="key used">used</span><span class="key p50">expected</span><span class="key band">8 in 10 cases</span><span class="key limit">limit</span>
      <span class="pointed" aria-hidden="true">${pointed ?? words}</span>
    </figcaption>
  </figure>`
}

function outlookWords({ forecast: { usageAtReset, unit } }: PathAnswer): string {
  if (usageAtReset === null) return ''
  const of = (amount: number) => formatAmount(amount, unit)
  return `At the reset ${of(usageAtReset.p50)} are expected, ${of(usageAtReset.p10)} to ${of(usageAtReset.p90)} in 8 of 10 cases.`
}

function wordsAt(props: FanChartProps, index: number): string {
  const [times, used, p90, p10, p50] = columnsOf(props)
  const { unit, asOfMs } = props.path.forecast
  const of = (column: (number | null)[] | undefined) => formatAmount(column?.[index] ?? null, unit)
  const at = formatInstant((times[index] ?? 0) * 1000, asOfMs)
  if (used?.[index] != null) return `${at}: ${of(used)} used`
  return p50?.[index] == null ? at : `${at}: ${of(p50)} expected, ${of(p10)} to ${of(p90)}`
}

const sizeOf = (element: HTMLElement) => {
  const width = Math.max(200, element.clientWidth)
  return { width, height: width < NARROW_PX ? HEIGHT.narrow : HEIGHT.wide }
}

function optionsOf(
  element: HTMLElement,
  props: { current: FanChartProps },
  onPoint: (index: number | null) => void,
): uPlot.Options {
  const style = getComputedStyle(element)
  const color = (name: string) => style.getPropertyValue(`--${name}`).trim()
  const line = (stroke: string, width: number, dash?: number[]): uPlot.Series => ({
    stroke: color(stroke),
    width,
    points: { show: false },
    ...(dash === undefined ? {} : { dash }),
  })
  const font = `11px ${style.fontFamily}`
  const axis = { stroke: color('muted'), font, grid: { stroke: color('line'), width: 1 }, ticks: { show: false } }
  return {
    ...sizeOf(element),
    padding: [8, 16, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { time: true }, y: { range: self => [0, topOf(self.data as Columns, props.current.limit)] } },
    axes: [
      {
        ...axis,
        values: (self, times) => times.map(time => formatTick(time * 1000, windowMsOf(self))),
        space: 64,
        size: 28,
      },
      {
        ...axis,
        values: (_self, values) => values.map(value => compactAmount(value, props.current.path.forecast.unit)),
        size: 58,
      },
    ],
    series: [
      {},
      line('accent', 2),
      line('band-edge', 1),
      line('band-edge', 1),
      line('accent', 1.5, [5, 4]),
      line('bad', 1.5),
    ],
    bands: [{ series: [2, 3], fill: color('band') }],
    hooks: {
      setCursor: [self => onPoint(self.cursor.idx ?? null)],
      draw: [self => drawNow(self, props.current, color('muted'))],
    },
  }
}

const windowMsOf = ({ data: [times] }: uPlot): number => 1000 * ((times.at(-1) ?? 0) - (times[0] ?? 0))

const axisNumber = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 })
const compactAmount = (value: number, unit: string) =>
  unit === 'bytes' ? formatAmount(value, unit) : axisNumber.format(unit === 'cost' ? value / 1_000_000 : value)

/** A line between what was and what may be. */
function drawNow(self: uPlot, { path }: FanChartProps, color: string): void {
  const { ctx, bbox } = self
  const x = Math.round(self.valToPos(path.forecast.asOfMs / 1000, 'x', true))
  ctx.save()
  ctx.strokeStyle = color
  ctx.setLineDash([2, 4])
  ctx.beginPath()
  ctx.moveTo(x, bbox.top)
  ctx.lineTo(x, bbox.top + bbox.height)
  ctx.stroke()
  ctx.restore()
}
