import type { AlertsAnswer } from '../../analyzer/api/alerts.ts'
import type { Command } from '../command.ts'
import type { Config } from '../config-schema.ts'
import { assertQuotaIsKnown } from '../known-quota.ts'
import { readPages } from '../listed.ts'
import { postJson } from '../role-client.ts'

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
    const answer = await readAll(config, quota)
    if (answer.total === 0 && quota !== undefined) await assertQuotaIsKnown(quota, config)
    if (invocation.isJson) invocation.print(JSON.stringify(answer, null, 2))
    else for (const line of toLines(answer)) invocation.print(line)
    return 0
  },
}

/** As of the first page. */
async function readAll(config: Config, quota: string | undefined): Promise<Omit<AlertsAnswer, 'nextCursor'>> {
  const pages: AlertsAnswer[] = []
  const query = quota === undefined ? {} : { quota }
  for await (const page of readPages<AlertsAnswer>('/v1/alerts', query, config)) pages.push(page)
  const [{ nextCursor: _next, ...first }] = pages as [AlertsAnswer]
  return { ...first, alerts: pages.flatMap(({ alerts }) => alerts) }
}

const NOBODY_TO_TELL =
  'No alerts are kept: `alerts.channels` of the config names nobody to tell. What may run out is shown by `forecast`.'

function toLines({ alerts, total, isConfigured }: Omit<AlertsAnswer, 'nextCursor'>): string[] {
  if (total === 0 && !isConfigured) return [NOBODY_TO_TELL]
  if (total === 0) return ['There is nothing that somebody should know.']
  return alerts.map(
    ({ title, sinceMs, isSilenced }) =>
      `${new Date(sinceMs).toISOString()}  ${title}${isSilenced ? '  (silenced)' : ''}`,
  )
}
