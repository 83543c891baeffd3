/** The stream of what changes: one connection a page, which comes back by itself and rests while nobody looks. */
import { useEffect, useState } from 'preact/hooks'
import type { DenialsEvent, TickEvent } from '../../analyzer/api/live.ts'
import { getJson } from './api.ts'

const RETRY_MS = { min: 1_000, max: 30_000 }
/** Of a stream that tells something every 15 s: it hangs, which no event would tell. */
const SILENT_MS = 40_000

export interface LiveState {
  /** `away`: the connection is lost and will be tried again. */
  state: 'connecting' | 'live' | 'away'
  tick: TickEvent | null
  /** `null` until they are told. */
  denials: DenialsEvent['denials'] | null
  /** How many there are, also those that are not told one by one; `null` until it is told. */
  denied: number | null
  /** Counts the ticks. */
  ticks: number
}

const NOTHING: LiveState = { state: 'connecting', tick: null, denials: null, denied: null, ticks: 0 }
let current = NOTHING
const listeners = new Set<(state: LiveState) => void>()

function change(part: Partial<LiveState>): void {
  current = { ...current, ...part }
  for (const listener of listeners) listener(current)
}

/** The newest state; the component is rendered again with each change. */
export function useLive(): LiveState {
  const [state, setState] = useState(current)
  useEffect(() => {
    listeners.add(setState)
    setState(current)
    return () => void listeners.delete(setState)
  }, [])
  return state
}

/** A number that changes with every `every`-th tick. */
export const useTicks = (every: number): number => Math.floor(useLive().ticks / every)

/** Connects, and answers how to stop. */
export function connectLive(): () => void {
  let source: EventSource | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  let silence: ReturnType<typeof setTimeout> | undefined
  let failures = 0
  const disconnect = () => {
    clearTimeout(timer)
    clearTimeout(silence)
    source?.close()
    source = null
  }
  const listen = () => {
    clearTimeout(silence)
    silence = setTimeout(() => {
      failures++
      comeBack()
    }, SILENT_MS)
  }
  const comeBack = () => {
    disconnect()
    // A stream that was live ends every few minutes; it is away only when the next one does not come.
    if (failures++ > 0) change({ state: 'away' })
    const delayMs = Math.min(RETRY_MS.max, RETRY_MS.min * 2 ** (failures - 1))
    timer = setTimeout(connect, delayMs * (0.75 + Math.random() / 2))
    // The stream does not say why it was refused: if the session has ended, this is told.
    getJson('/v1/session').catch(() => undefined)
  }
  const connect = () => {
    disconnect()
    listen()
    source = new EventSource('/v1/live')
    source.addEventListener('tick', ({ data }) => {
      failures = 0
      listen()
      change({ state: 'live', tick: JSON.parse(data), ticks: current.ticks + 1 })
    })
    source.addEventListener('denials', ({ data }) => change(JSON.parse(data) as DenialsEvent))
    source.addEventListener('error', comeBack)
  }
  const onVisibility = () => (document.hidden ? disconnect() : connect())
  document.addEventListener('visibilitychange', onVisibility)
  connect()
  return () => {
    document.removeEventListener('visibilitychange', onVisibility)
    disconnect()
    // What this session was told is not for the next one, which may see less.
    change(NOTHING)
  }
}
