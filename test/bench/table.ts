/** Prints rows as a Markdown table, columns padded, so that it can be pasted into a README. */
export function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = header.map((name, column) => Math.max(name.length, ...rows.map(row => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  const rule = `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`
  process.stdout.write(`${[line(header), rule, ...rows.map(line)].join('\n')}\n\n`)
}

export const thousands = (value: number): string => Math.round(value).toLocaleString('en-US')
export const fixed = (value: number, digits: number): string => value.toFixed(digits)

/** The value that the share of all values is not above. */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}
