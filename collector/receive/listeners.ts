/**
 * The ways in that the collector opens by itself, one for each source that is not sent over HTTP or gRPC. One that fails
 * is said to, and tried again; the others run.
 */
import { AssertionError } from 'node:assert'
import { setTimeout as sleep } from 'node:timers/promises'
import { sourceFailed } from '../events.ts'
import type { FileReceive, KafkaReceive, SyslogTcpReceive, SyslogUdpReceive } from './listen-options.ts'
import type { ListenDeps } from './listening.ts'
import type { CallSource } from './source.ts'

const BACKOFF_MS_MIN = 1000
const BACKOFF_MS_MAX = 30_000
/** What ran for so long has started well: the next try comes soon again. */
const STEADY_MS = 60_000

/** A source, and how its calls arrive. */
export interface ListeningSource {
  source: CallSource
  receive: FileReceive | SyslogUdpReceive | SyslogTcpReceive | KafkaReceive
}

export interface Listeners {
  /** Why calls of a source do not come in; `null` when they do, or when it is none of ours. */
  problemOf(source: string): string | null
  /** One line for each source that is broken; one that waits for what it reads is not. */
  readiness(): string[]
  /** Resolves when everything that was read is durable, or cannot become it, and nothing is open any more. */
  close(): Promise<void>
}

export type ListenersDeps = Omit<ListenDeps, 'report' | 'reportWaiting' | 'signal'>

/** Begins at once, whether or not the sources are there. */
export function openListeners(sources: readonly ListeningSource[], deps: ListenersDeps): Listeners {
  const closing = new AbortController()
  const problems = new Map<string, { text: string; isWaiting: boolean }>()
  const running = sources.map(listening => {
    const { name } = listening.source
    const tell = (text: string | null, isWaiting: boolean) => {
      if (text === null) problems.delete(name)
      else problems.set(name, { text, isWaiting })
    }
    tell('It has not begun yet', false)
    return keepListening(listening, {
      ...deps,
      report: problem => tell(problem, false),
      reportWaiting: problem => tell(problem, true),
      signal: closing.signal,
    })
  })
  return {
    problemOf: name => problems.get(name)?.text ?? null,
    readiness: () =>
      sources.flatMap(({ source: { name } }) => {
        const problem = problems.get(name)
        return problem === undefined || problem.isWaiting ? [] : [`source ${name}: ${problem.text}`]
      }),
    async close() {
      closing.abort()
      await Promise.all(running)
    },
  }
}

async function keepListening({ source, receive }: ListeningSource, deps: ListenDeps): Promise<void> {
  const { report, signal, logger } = deps
  for (let backoffMs = BACKOFF_MS_MIN; !signal.aborted; backoffMs = Math.min(2 * backoffMs, BACKOFF_MS_MAX)) {
    const begunAtMs = performance.now()
    try {
      await listen(receive, source, deps)
    } catch (error) {
      // A bug is not cured by another try.
      if (error instanceof AssertionError) throw error
      if (signal.aborted) {
        logger.warn({ source: source.name, err: error }, 'a way in ended before all that was read was durable')
        return
      }
      report(error instanceof Error ? error.message : String(error))
      sourceFailed(logger, { source: source.name, receiver: receive.kind, err: error })
    }
    if (performance.now() - begunAtMs > STEADY_MS) backoffMs = BACKOFF_MS_MIN
    await sleep(backoffMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined)
  }
}

/** Clients load when a source needs them. */
async function listen(receive: ListeningSource['receive'], source: CallSource, deps: ListenDeps): Promise<void> {
  switch (receive.kind) {
    case 'file': {
      const { followFiles } = await import('./tail.ts')
      return followFiles(receive, source, deps)
    }
    case 'syslog_udp': {
      const { receiveSyslogUdp } = await import('./syslog.ts')
      return receiveSyslogUdp(receive, source, deps)
    }
    case 'syslog_tcp': {
      const { receiveSyslogTcp } = await import('./syslog.ts')
      return receiveSyslogTcp(receive, source, deps)
    }
    case 'kafka': {
      const { consumeTopics } = await import('./kafka.ts')
      return consumeTopics(receive, source, deps)
    }
  }
}
