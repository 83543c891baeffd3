/** Grafana's JSON of a board, by Grafana's own Foundation SDK. */
import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog'
import {
  BigValueColorMode,
  type DataSourceRef,
  GraphDrawStyle,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import {
  AnnotationQueryBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  type DynamicConfigValue,
  type Panel as GrafanaPanel,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table'
import { PanelBuilder as SeriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries'
import { XYShowMode, PanelBuilder as XyBuilder } from '@grafana/grafana-foundation-sdk/xychart'
import { type Board, uidOf, type Variable } from './board.ts'
import type { Field, Link, Panel, Query, Thresholds } from './panel.ts'

/** Every board has it, and links to those that have it. */
const TAG = 'quotacast'
const CLICKHOUSE: DataSourceRef = { type: 'grafana-clickhouse-datasource', uid: '${clickhouse}' }
const PROMETHEUS: DataSourceRef = { type: 'prometheus', uid: '${prometheus}' }
/** Its query model is that of the plugin's fourth major version. */
const PLUGIN_VERSION = '4.0.0'
/** How the plugin's backend shapes rows: into series of a time and numbers, or as they are. */
const FORMATS = { timeseries: 0, table: 1 } as const
const HEIGHT = 8
/** Grafana's own is so wide that most tables must be scrolled. */
const COLUMN_PX_MIN = 60
const COLORS = { good: 'green', warn: 'orange', bad: 'red' } as const

/** The dashboard as Grafana imports it. Panels have ids in their order, so that links to them stay. */
export function drawBoard(board: Board): Dashboard {
  const { slug, title, question, variables, needsPrometheus } = board
  const builder = new DashboardBuilder(`Quotacast: ${title}`)
    .uid(uidOf(slug))
    .description(question)
    .tags([TAG])
    .time({ from: board.from, to: board.to })
    .refresh(board.refresh)
    .tooltip(DashboardCursorSync.Crosshair)
    .link(toOtherBoards())
    .annotation(limitChanges())
    .withVariable(dataSource('clickhouse', 'ClickHouse', CLICKHOUSE.type ?? ''))
  if (needsPrometheus) builder.withVariable(dataSource('prometheus', 'Prometheus', PROMETHEUS.type ?? ''))
  for (const variable of variables) builder.withVariable(drawVariable(variable))
  let id = 0
  for (const row of board.rows) {
    builder.withRow(new RowBuilder(row.title).id(++id))
    for (const panel of row.panels) builder.withPanel(drawPanel(panel).id(++id))
  }
  return builder.build()
}

const toOtherBoards = () =>
  new DashboardLinkBuilder('Quotacast')
    .type(DashboardLinkType.Dashboards)
    .tags([TAG])
    .asDropdown(true)
    .keepTime(true)
    .includeVars(true)

/** Changes of quotas, and of limits for single subjects, wherever time is drawn; that something has ended is none. */
const limitChanges = () =>
  new AnnotationQueryBuilder()
    .name('Limit changes')
    .datasource(CLICKHOUSE)
    .enable(true)
    .iconColor('purple')
    .target(
      toTarget(
        {
          source: 'clickhouse',
          sql: `SELECT at AS time, concat(kind, ' ', key) AS title, concat(by, if(reason = '', '', ': '), reason) AS text, kind AS tags
FROM audit
WHERE kind IN ('quota', 'quota_config', 'override', 'grant', 'reset', 'block') AND by != 'analyzer' AND $__timeFilter_ms(at)
ORDER BY at DESC LIMIT 200`,
        },
        'annotation',
        'table',
      ),
    )

const dataSource = (name: string, label: string, type: string) =>
  new DatasourceVariableBuilder(name).label(label).type(type)

function drawVariable({ name, label, sql, isSingle = false }: Variable) {
  const builder = new QueryVariableBuilder(name)
    .label(label)
    .datasource(CLICKHOUSE)
    .query(sql)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    // The greatest first, as they come.
    .sort(VariableSort.Disabled)
    .multi(!isSingle)
    .includeAll(!isSingle)
  return isSingle ? builder : builder.current({ selected: true, text: 'All', value: '$__all' })
}

/** What all kinds of panels have. */
interface PanelBuilder<T> extends Builder<GrafanaPanel> {
  id(id: number): T
  title(title: string): T
  description(description: string): T
  datasource(source: DataSourceRef): T
  targets(targets: Builder<Dataquery>[]): T
  span(width: number): T
  height(height: number): T
  noValue(text: string): T
  unit(unit: string): T
  decimals(decimals: number): T
  max(max: number): T
  interval(interval: string): T
  thresholds(thresholds: Builder<ReturnType<ThresholdsConfigBuilder['build']>>): T
  overrideByName(name: string, properties: DynamicConfigValue[]): T
}

function drawPanel(panel: Panel) {
  switch (panel.kind) {
    case 'series':
      return withCommon(drawSeries(panel), panel)
    case 'stat':
      return withCommon(new StatBuilder().colorMode(BigValueColorMode.Value), panel)
    case 'table':
      return withCommon(drawTable(), panel)
    case 'reliability':
      return withCommon(new XyBuilder().show(XYShowMode.PointsAndLines).axisSoftMin(0).axisSoftMax(1), panel)
  }
}

/** A cell without a value would say that the panel has no data. */
const drawTable = () =>
  new TableBuilder().minWidth(COLUMN_PX_MIN).overrideByRegexp('.*', [{ id: 'noValue', value: '–' }])

/** What is stacked are counts of its steps: bars, which need no neighbours. */
function drawSeries({ isStacked = false, isFan = false, thresholds }: Panel): SeriesBuilder {
  const builder = new SeriesBuilder()
    .drawStyle(isStacked ? GraphDrawStyle.Bars : GraphDrawStyle.Line)
    .lineWidth(isStacked ? 0 : 1)
    .fillOpacity(isStacked ? 80 : isFan ? 0 : 8)
    .stacking(new StackingConfigBuilder().mode(isStacked ? StackingMode.Normal : StackingMode.None).group('A'))
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
  if (thresholds !== undefined)
    builder.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed))
  if (!isFan) return builder
  return builder
    .spanNulls(true)
    .overrideByName('p90', [
      { id: 'custom.fillBelowTo', value: 'p10' },
      { id: 'custom.fillOpacity', value: 25 },
    ])
    .overrideByName('p10', [{ id: 'custom.fillOpacity', value: 0 }])
}

function withCommon<T extends PanelBuilder<T>>(builder: T, panel: Panel): T {
  const { queries, fields = {} } = panel
  const format = panel.kind === 'series' ? 'timeseries' : 'table'
  builder
    .title(panel.title)
    .description(panel.notes === undefined ? panel.question : `${panel.question} ${panel.notes}`)
    .datasource(queries.some(({ source }) => source === 'prometheus') ? PROMETHEUS : CLICKHOUSE)
    .targets(queries.map((query, index) => toTarget(query, String.fromCharCode(65 + index), format)))
    .span(panel.width)
    .height(panel.height ?? (panel.kind === 'stat' ? 4 : HEIGHT))
    .noValue(panel.noData)
    .thresholds(toThresholds(panel.thresholds))
  // Columns of a table have units of their own.
  const unit = panel.unit ?? (panel.kind === 'table' ? undefined : 'short')
  if (unit !== undefined) builder.unit(unit)
  if (panel.decimals !== undefined) builder.decimals(panel.decimals)
  if (panel.max !== undefined) builder.max(panel.max)
  if (panel.stepMin !== undefined) builder.interval(panel.stepMin)
  for (const [name, field] of Object.entries(fields)) builder.overrideByName(name, toProperties(field))
  return builder
}

function toThresholds(thresholds: Thresholds | undefined): ThresholdsConfigBuilder {
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps([
    { value: null, color: COLORS.good },
    ...(thresholds === undefined
      ? []
      : [
          { value: thresholds.warn, color: COLORS.warn },
          { value: thresholds.bad, color: COLORS.bad },
        ]),
  ])
}

function toProperties(field: Field): DynamicConfigValue[] {
  const { unit, decimals, isGauge, thresholds, opens, isHidden, width, color, isDashed } = field
  const properties: [unknown, DynamicConfigValue[]][] = [
    [unit, [{ id: 'unit', value: unit }]],
    [decimals, [{ id: 'decimals', value: decimals }]],
    [
      isGauge,
      [
        { id: 'custom.cellOptions', value: { type: 'gauge', mode: 'basic' } },
        { id: 'min', value: 0 },
        { id: 'max', value: 1 },
      ],
    ],
    [isGauge === true ? undefined : thresholds, [{ id: 'custom.cellOptions', value: { type: 'color-text' } }]],
    [thresholds, [{ id: 'thresholds', value: toThresholds(thresholds).build() }]],
    [opens, [{ id: 'links', value: opens === undefined ? [] : [toDataLink(opens)] }]],
    [isHidden, [{ id: 'custom.hidden', value: true }]],
    [width, [{ id: 'custom.width', value: width }]],
    [color, [{ id: 'color', value: { mode: 'fixed', fixedColor: color } }]],
    [isDashed, [{ id: 'custom.lineStyle', value: { fill: 'dash', dash: [10, 10] } }]],
  ]
  return properties.flatMap(([value, made]) => (value === undefined ? [] : made))
}

/** Keeps the time and the data source; the row says the other variables. */
const toDataLink = ({ uid, title, variables }: Link) => ({
  title,
  url: [
    `/d/${uid}?\${__url_time_range}`,
    '${clickhouse:queryparam}',
    ...variables.map(name => `var-${name}=\${__data.fields.${name}:percentencode}`),
  ].join('&'),
})

function toTarget(query: Query, refId: string, format: keyof typeof FORMATS): Builder<Dataquery> {
  const target =
    query.source === 'clickhouse'
      ? {
          datasource: CLICKHOUSE,
          pluginVersion: PLUGIN_VERSION,
          editorType: 'sql',
          queryType: format,
          format: FORMATS[format],
          rawSql: query.sql,
        }
      : {
          datasource: PROMETHEUS,
          expr: query.expr,
          legendFormat: query.legend,
          range: format === 'timeseries',
          instant: format === 'table',
          editorMode: 'code',
        }
  return { build: () => ({ refId, ...target, _implementsDataqueryVariant() {} }) }
}
