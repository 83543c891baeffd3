import type { StoreAudit } from '../../collector/store/audit.ts'
import type { Command } from '../command.ts'
import { getJson } from '../role-client.ts'

export const command: Command = {
  usage: '',
  description:
    'Has the running collector compare its log with the store, and the rollups with the calls: reports every call that ' +
    'is lost, doubled or misplaced, and corrects nothing. The exit code is 1 when there is any.',
  options: {},
  examples: ['audit', 'audit --json'],
  async run(invocation) {
    const audit = (await getJson('collector', '/v1/store-audit', await invocation.config())) as StoreAudit
    if (invocation.isJson) invocation.print(JSON.stringify(audit, null, 2))
    else for (const line of toText(audit)) invocation.print(line)
    return countOf(audit) === 0 ? 0 : 1
  },
}

const countOf = ({ counts }: StoreAudit) => Object.values(counts).reduce((sum, count) => sum + count, 0)

function toText(audit: StoreAudit): string[] {
  const partitions = audit.partitions.map(
    ({ topic, partition, fromOffset, toOffset, entries, rows, duplicates }) =>
      `${topic} ${partition}, ${fromOffset} to ${toOffset}: ${entries} entries, ${rows} rows, ${duplicates} sent again`,
  )
  const found = Object.entries(audit.counts).map(([kind, count]) => `${count} ${kind}`)
  const total = countOf(audit)
  const more = total - audit.differences.length
  return [
    ...partitions,
    total === 0 ? 'Log and store agree.' : `Log and store differ: ${found.join(', ')}.`,
    ...audit.differences.map(({ kind, topic, message }) => `  ${kind} (${topic}): ${message}`),
    ...(more > 0 ? [`  … and ${more} more`] : []),
  ]
}
