import type { AlertsAnswer } from '../../analyzer/api/alerts.ts'
import type { Command } from '../command.ts'
import { assertQuotaIsKnown } from '../known-quota.ts'
import { getJson, postJson } from '../role-client.ts'

const ROWS_MAX = 1_000

export const command: Command = {
  usage: '[--quota NAME] | --test CHANNEL',
  description:
    'Shows what somebody should know: limits that are used up, or will probably be before their reset, the worst first. ' +
    'Kept where `alerts.channels` of the config has somebody to tell. `--test` tells one of them that it works.',
  options: {
    quota: { type: 'string', value: 'NAME', description: 'Only of this quota.' },
    test: {
      type: 'string',
      value: 'CHANNEL',
      description: 'Sends a message without alerts, and says whether it was accepted.',
    },
  },
  examples: ['alerts', 'alerts --quota tokens-per-hour --json', 'alerts --test ops'],
  async run(invocation) {
    const config = await invocation.config()
    const channel = invocation.text('test')
    if (channel !== undefined) {
      await postJson('analyzer', `/v1/alerts/channels/${encodeURIComponent(channel)}/test`, config)
      invocation.print(invocation.isJson ? JSON.stringify({ name: channel }) : `${channel} has accepted the message.`)
      return 0
    }
    const quota = invocation.text('quota')
    const query = new URLSearchParams({ limit: `${ROWS_MAX}`, ...(quota === undefined ? {} : { quota }) })
    const answer = (await getJson('analyzer', `/v1/alerts?${query}`, config)) as AlertsAnswer
    if (answer.total === 0 && quota !== undefined) await assertQuotaIsKnown(quota, config)
    if (invocation.isJson) invocation.print(JSON.stringify(answer, null, 2))
    else for (const line of toLines(answer)) invocation.print(line)
    return 0
  },
}

const NOBODY_TO_TELL =
  'No alerts are kept: `alerts.channels` of the config names nobody to tell. What may run out is shown by `forecast`.'

function toLines({ alerts, total, isConfigured }: AlertsAnswer): string[] {
  if (total === 0 && !isConfigured) return [NOBODY_TO_TELL]
  if (total === 0) return ['There is nothing that somebody should know.']
  const lines = alerts.map(
    ({ title, sinceMs, isSilenced }) =>
      `${new Date(sinceMs).toISOString()}  ${title}${isSilenced ? '  (silenced)' : ''}`,
  )
  return alerts.length === total ? lines : [...lines, `… and ${total - alerts.length} more.`]
}
