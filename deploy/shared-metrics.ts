/**
 * Metrics of a role whose processes share one port: a scrape reaches any of them, which answers for all of them, with the
 * process as a label. They ask each other through the supervisor that started them.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

/** What others get to answer: one that cannot is missing in this scrape. */
const ANSWER_MS_MAX = 2_000

/** What a process says to the others of its role. */
type Message = { to?: number } & (
  | { kind: 'metricsAsked'; id: string; from: number }
  | { kind: 'metricsTold'; id: string; name: string; text: string }
)

/** Answers the metrics of all `processes`, of which this one is `name`. */
export function shareMetrics(
  metrics: () => Promise<string>,
  { name, processes }: { name: string; processes: number },
): () => Promise<string> {
  if (processes === 1 || !process.connected) return metrics
  const say = (message: Message) => void process.send?.(message)
  const asked = new Map<string, (name: string, text: string) => void>()
  process.on('message', async (message: Message) => {
    const { id } = message
    if (message.kind === 'metricsTold') asked.get(id)?.(message.name, message.text)
    else say({ kind: 'metricsTold', to: message.from, id, name, text: await metrics() })
  })
  return async () => {
    const id = randomUUID()
    const texts = new Map<string, string>()
    const { promise: told, resolve } = Promise.withResolvers<void>()
    asked.set(id, (one, text) => {
      if (texts.set(one, text).size === processes) resolve()
    })
    say({ kind: 'metricsAsked', id, from: process.pid })
    asked.get(id)?.(name, await metrics())
    await Promise.race([told, sleep(ANSWER_MS_MAX)])
    asked.delete(id)
    return joinMetrics(texts)
  }
}

/** Texts by process as one, in which what is of one metric stands together. */
export function joinMetrics(texts: ReadonlyMap<string, string>): string {
  const families = new Map<string, string>()
  for (const [name, text] of [...texts].toSorted()) {
    for (const family of text.split(/^(?=# HELP )/m)) {
      const [, head = '', series = ''] = /^((?:#.*\n)*)([\s\S]*)$/.exec(family) ?? []
      const labelled = series.replaceAll(/^(\w+)\{/gm, `$1{process="${name}",`)
      families.set(head, `${families.get(head) ?? ''}${labelled}`)
    }
  }
  return [...families].flat().join('')
}
