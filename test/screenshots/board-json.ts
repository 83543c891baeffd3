/** What the pictures read of a dashboard as Grafana imports it. */
import { readdirSync, readFileSync } from 'node:fs'

const JSON_DIR = new URL('../../dashboards/json/', import.meta.url)

interface Place {
  x: number
  y: number
  w: number
  h: number
}

interface Threshold {
  value: number | null
  color: string
}

/** How a field is drawn: the panel's defaults, and what overrides say of the field. */
export interface FieldConfig {
  unit?: string
  decimals?: number
  min?: number
  max?: number
  noValue?: string
  color?: { mode: string; fixedColor?: string }
  thresholds?: { steps: readonly Threshold[] }
  links?: readonly unknown[]
  custom?: {
    lineWidth?: number
    fillOpacity?: number
    fillBelowTo?: string
    drawStyle?: string
    /** Of charts over numbers only. */
    show?: string
    stacking?: { mode: string }
    spanNulls?: boolean
    lineStyle?: { dash?: readonly number[] }
    thresholdsStyle?: { mode: string }
    hidden?: boolean
    width?: number
    minWidth?: number
    cellOptions?: { type: string }
  }
}

export interface Target {
  /** Of ClickHouse. */
  rawSql?: string
  /** Of Prometheus. */
  expr?: string
  legendFormat?: string
}

export interface PanelJson {
  type: 'row' | 'stat' | 'table' | 'timeseries' | 'xychart'
  title: string
  gridPos: Place
  interval?: string
  targets?: readonly Target[]
  fieldConfig?: {
    defaults: FieldConfig
    overrides: readonly {
      matcher: { id: string; options: string }
      properties: readonly { id: string; value: unknown }[]
    }[]
  }
}

export interface BoardJson {
  title: string
  time: { from: string; to: string }
  panels: readonly PanelJson[]
  templating: { list: readonly VariableJson[] }
  annotations: { list: readonly { target: Target }[] }
}

interface VariableJson {
  name: string
  label: string
  type: string
  query?: string
  multi?: boolean
}

/** All boards as they are committed, by the names of their files. */
export const readBoards = (): Map<string, BoardJson> =>
  new Map(
    readdirSync(JSON_DIR).map(file => [
      file.replace('.json', ''),
      JSON.parse(readFileSync(new URL(file, JSON_DIR), 'utf8')) as BoardJson,
    ]),
  )

/** The config of one field: later overrides win. */
export function configOf({ fieldConfig }: PanelJson, field: string): FieldConfig {
  const { defaults = {}, overrides = [] } = fieldConfig ?? {}
  const config: Record<string, unknown> & FieldConfig = { ...defaults, custom: { ...defaults.custom } }
  for (const { matcher, properties } of overrides) {
    const isMeant = matcher.id === 'byRegexp' ? new RegExp(matcher.options).test(field) : matcher.options === field
    if (!isMeant) continue
    for (const { id, value } of properties) {
      if (id.startsWith('custom.')) config.custom = { ...config.custom, [id.slice('custom.'.length)]: value }
      else config[id] = value
    }
  }
  return config
}
