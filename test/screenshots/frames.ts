/** Answers of a data source, and the series that Grafana makes of them. */

export interface Column {
  name: string
  kind: 'time' | 'number' | 'text'
}

/** Times are Unix milliseconds. */
export type Cell = string | number | null

export interface Answer {
  columns: readonly Column[]
  rows: readonly (readonly Cell[])[]
}

export interface Series {
  name: string
  /** At each of the chart's times. */
  values: (number | null)[]
}

export interface Chart {
  /** Unix milliseconds, ascending. */
  times: number[]
  series: Series[]
}

/** What a column with this name is not named by in a legend: its label alone is. */
const VALUE = 'Value'

/** Rows of a time, names and numbers as one series for each number and combination of names. */
export function toChart({ columns, rows }: Answer): Chart {
  const times = [...new Set(rows.map(row => Number(row[0])))].toSorted((one, other) => one - other)
  const indexOf = new Map(times.map((time, index) => [time, index]))
  const series = new Map<string, Series>()
  for (const row of rows) {
    const labels = row.filter((_, column) => column > 0 && columns[column]?.kind === 'text')
    for (const [column, { name, kind }] of columns.entries()) {
      if (kind !== 'number') continue
      const title = [...(name === VALUE ? [] : [name]), ...labels].join(' ') || name
      const one = series.get(title) ?? { name: title, values: times.map(() => null) }
      series.set(title, one)
      one.values[indexOf.get(Number(row[0])) ?? -1] = row[column] as number | null
    }
  }
  return { times, series: [...series.values()] }
}

/** Several answers of one panel over the times of all. */
export function joinCharts(charts: readonly Chart[]): Chart {
  const times = [...new Set(charts.flatMap(chart => chart.times))].toSorted((one, other) => one - other)
  const series = charts.flatMap(chart => {
    const indexOf = new Map(chart.times.map((time, index) => [time, index]))
    return chart.series.map(({ name, values }) => ({
      name,
      values: times.map(time => values[indexOf.get(time) ?? -1] ?? null),
    }))
  })
  return { times, series }
}

/** Each series on top of those before it, with what it stands on. A value that is missing adds nothing, and stays missing. */
export function stack<T extends Series>(series: readonly T[]): (T & { floors: number[] })[] {
  let sums = series[0]?.values.map(() => 0) ?? []
  return series.map(one => {
    const floors = sums
    sums = floors.map((floor, index) => floor + (one.values[index] ?? 0))
    return { ...one, floors, values: one.values.map((value, index) => (value === null ? null : (sums[index] ?? 0))) }
  })
}
