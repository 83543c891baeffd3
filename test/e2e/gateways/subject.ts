/** A gateway under test: how it is started with what its guide tells to paste, and what it tells otherwise than most. */
import type { MissingServerError } from '../../servers/missing.ts'
import type { Comparable } from './traffic.ts'

export interface Place {
  /** Where it may write. */
  dir: string
  /** Of loopback, where it has to listen, for IPv6 too. */
  port: number
  backendPort: number
  /** Nobody listens there. */
  deadPort: number
  /** What its guide tells to paste into it, paths replaced. */
  snippets: readonly string[]
}

/** What a gateway tells otherwise than most, or cannot tell. */
export interface Tells {
  /** Of every call. */
  always?: Partial<Comparable>
  /** Of some, by their route in the traffic. */
  of?: Readonly<Record<string, Partial<Comparable>>>
}

export interface Subject {
  /** Of its rows, where they name no gateway. */
  name: string
  /** Where it sends; absent: a source of its name. */
  source?: string
  guide: string
  /** How the titles of the set-ups begin. */
  setups: readonly string[]
  /** The folder in the guide that `Place.dir` takes the place of. */
  folder?: string
  /** What it needs that may not be installed here. */
  checks: readonly (() => MissingServerError | null)[]
  start(place: Place): Promise<{ stop(): Promise<void> }>
  tells?: Tells
}

/** The snippet at a place in the order of the steps. */
export function snippetAt({ snippets }: Place, index: number): string {
  const snippet = snippets[index]
  if (snippet === undefined) throw new Error(`the guide has no snippet ${index + 1}`)
  return snippet
}
