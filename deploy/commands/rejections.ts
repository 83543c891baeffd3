import type { RejectionCount } from '../../collector/store/rejection-counts.ts'
import { REJECTIONS_PAGE_MAX, type RejectionsPage } from '../../collector/store/rejections.ts'
import { type Command, type Invocation, parseNumber } from '../command.ts'
import { thousands } from '../import-progress.ts'
import { FILTER_OPTIONS, filterOf } from '../rejection-filter.ts'
import { getJson } from '../role-client.ts'

/** Of an input that is printed. */
const INPUT_CHARACTERS_MAX = 200

export const command: Command = {
  usage: '[--source NAME] [--reason REASON] [--newest N]',
  description:
    'Shows what the running collector could not read, by source and reason, with an example of each; with --newest the ' +
    'newest ones themselves. Those that a replay has settled are gone from it.',
  options: {
    ...FILTER_OPTIONS,
    newest: { type: 'string', value: 'N', description: 'The newest N of them, instead of how many there are.' },
  },
  examples: ['rejections', 'rejections --source kong --newest 5', 'rejections --reason unreadable --json'],
  async run(invocation) {
    const query = filterOf(invocation)
    return invocation.text('newest') === undefined ? showCounts(invocation, query) : showNewest(invocation, query)
  },
}

async function showCounts(invocation: Invocation, query: URLSearchParams): Promise<number> {
  const answer = await getJson('collector', `/v1/rejections/counts?${query}`, await invocation.config())
  const { counts } = answer as { counts: RejectionCount[] }
  if (invocation.isJson) {
    invocation.print(JSON.stringify(counts, null, 2))
    return 0
  }
  if (counts.length === 0) invocation.print('There are none.')
  for (const { source, reason, count, replayable, lastAtMs, example } of counts) {
    invocation.print(
      `${source || '(unknown)'}  ${reason}  ${thousands(count)}, ${thousands(replayable)} can be replayed, the last ${instant(lastAtMs)}`,
    )
    invocation.print(`  ${example.message}\n  ${shortened(example.input)}`)
  }
  return 0
}

async function showNewest(invocation: Invocation, query: URLSearchParams): Promise<number> {
  const newest = parseNumber(invocation, 'newest', 1, { least: 1, most: REJECTIONS_PAGE_MAX })
  query.set('limit', `${Math.floor(newest)}`)
  const answer = await getJson('collector', `/v1/rejections?${query}`, await invocation.config())
  const { rejections } = answer as RejectionsPage
  if (invocation.isJson) invocation.print(JSON.stringify(rejections, null, 2))
  else
    for (const { source, reason, message, arrivedAtMs, input } of rejections)
      invocation.print(`${instant(arrivedAtMs)}  ${source}  ${reason}  ${message}\n  ${shortened(input)}`)
  return 0
}

const instant = (atMs: number) => new Date(atMs).toISOString()

function shortened(input: string): string {
  if (input === '') return '(not kept)'
  const line = input.replaceAll(/\s+/g, ' ')
  return line.length <= INPUT_CHARACTERS_MAX ? line : `${line.slice(0, INPUT_CHARACTERS_MAX)}…`
}
