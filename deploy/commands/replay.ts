import type { ReplayAnswer } from '../../collector/rejection-routes.ts'
import type { RejectionCount } from '../../collector/store/rejection-counts.ts'
import type { Command, Invocation } from '../command.ts'
import type { Config } from '../config-schema.ts'
import { thousands } from '../import-progress.ts'
import { FILTER_OPTIONS, filterOf } from '../rejection-filter.ts'
import { getJson, postJson } from '../role-client.ts'

/** Rejections whose messages are printed. */
const EXAMPLES_MAX = 20

type Totals = Omit<ReplayAnswer, 'nextCursor'> & {
  /** Their inputs are not whole: nobody can decode them again. */
  notWhole: number
}

export const command: Command = {
  usage: '[--source NAME] [--reason REASON] [--dry-run]',
  description:
    'Has the running collector decode rejections again: after its config or its version has changed, or a mapping was ' +
    'mended. What becomes a call is stored once, also if its sender sends it again. An input that was cut, or held a ' +
    'secret that could not be told apart, cannot be replayed. The exit code is 1 when some remain.',
  options: {
    ...FILTER_OPTIONS,
    'dry-run': { type: 'boolean', description: 'Only says what would become of them.' },
  },
  examples: ['replay --dry-run', 'replay --source kong', 'replay --reason invalid_field --json'],
  async run(invocation) {
    const totals = await replayAll(invocation, await invocation.config())
    if (invocation.isJson) invocation.print(JSON.stringify(totals, null, 2))
    else for (const line of toText(totals, invocation.isSet('dry-run'))) invocation.print(line)
    return sum(totals.rejected) + sum(totals.sourcesUnknown) + totals.notWhole === 0 ? 0 : 1
  },
}

async function replayAll(invocation: Invocation, config: Config): Promise<Totals> {
  const query = filterOf(invocation)
  const counted = (await getJson('collector', `/v1/rejections/counts?${query}`, config)) as { counts: RejectionCount[] }
  const totals: Totals = { calls: 0, noCalls: 0, sourcesUnknown: {}, rejected: {}, examples: [], notWhole: 0 }
  for (const { count, replayable } of counted.counts) totals.notWhole += count - replayable
  if (invocation.isSet('dry-run')) query.set('dryRun', 'true')
  for (let hasMore = true; hasMore; ) {
    const page = (await postJson('collector', `/v1/rejections/replay?${query}`, config)) as ReplayAnswer
    totals.calls += page.calls
    totals.noCalls += page.noCalls
    addCounts(totals.rejected, page.rejected)
    addCounts(totals.sourcesUnknown, page.sourcesUnknown)
    totals.examples.push(...page.examples.slice(0, EXAMPLES_MAX - totals.examples.length))
    hasMore = page.nextCursor !== null
    query.set('cursor', page.nextCursor ?? '')
  }
  return totals
}

function addCounts(counts: Record<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(more)) counts[name] = (counts[name] ?? 0) + count
}

const sum = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((total, count) => total + count, 0)

function toText({ calls, noCalls, sourcesUnknown, rejected, examples, notWhole }: Totals, isDryRun: boolean): string[] {
  const listed = (counts: Readonly<Record<string, number>>) =>
    Object.entries(counts)
      .map(([name, count]) => `${thousands(count)} ${name}`)
      .join(', ')
  return [
    `${thousands(calls)} ${isDryRun ? 'would be' : 'are'} calls now.`,
    ...(noCalls === 0 ? [] : [`${thousands(noCalls)} turned out to be no calls.`]),
    ...(sum(rejected) === 0 ? [] : [`Rejected again: ${listed(rejected)}.`]),
    ...examples.map(({ source, reason, message }) => `  ${source}  ${reason}  ${message}`),
    ...(sum(sourcesUnknown) === 0
      ? []
      : [`No source has these names any more: ${listed(sourcesUnknown)}. Put them into \`sources\` and replay again.`]),
    ...(notWhole === 0
      ? []
      : [
          `${thousands(notWhole)} cannot be replayed, as their inputs were cut or not kept: have their sender send them again.`,
        ]),
  ]
}
