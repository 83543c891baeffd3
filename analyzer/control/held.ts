/** What holds now of everything in the control log, and its version: pure, the same for whoever folds the same entries. */
import { isDeepStrictEqual } from 'node:util'
import type { ControlChange, ControlKind, HeldEntry } from '../../collector/log/control-change.ts'

export interface Held {
  /** 0 when there was never one, or nothing is kept of it. */
  readonly version: number
  /** `null` when there is none now. */
  readonly value: unknown
}

export interface HeldState {
  current(kind: ControlKind, key: string): Held
  /** Keys of one kind that hold now. */
  keys(kind: ControlKind): string[]
  /** How many things hold now. */
  count(): number
  /** All of it, of each kind in the order of the last changes. */
  entries(): HeldEntry[]
  /** Whether the change holds: another one may have been faster. */
  fold(change: ControlChange): boolean
  /** Takes what a later snapshot holds for what there was; answers what is different now. */
  replace(entries: readonly HeldEntry[]): HeldEntry[]
}

const NEVER: Held = { version: 0, value: null }

/** Of one kind, of which the version is kept after they are gone: the last ones. */
export const REMOVED_MAX = 10_000
/** Of provider keys and subjects there are ever new ones, which only the analyzer changes: not even the version is kept. */
const FORGOTTEN_KINDS: ReadonlySet<ControlKind> = new Set(['upstream', 'pace', 'alert'])

interface OfKind {
  readonly held: Map<string, Held>
  /** What is gone, the longest ago first: whoever thought of a change before is to lose. */
  readonly removed: Map<string, Held>
}
type Kinds = Map<ControlKind, OfKind>

export function createHeldState(): HeldState {
  let kinds: Kinds = new Map()
  const current = (kind: ControlKind, key: string) => find(kinds, kind, key) ?? NEVER
  return {
    current,
    keys: kind => [...(kinds.get(kind)?.held.keys() ?? [])],
    count: () => [...kinds.values()].reduce((sum, { held }) => sum + held.size, 0),
    entries: () => entriesOf(kinds),
    fold({ kind, key, expectedVersion, version, value }) {
      if (current(kind, key).version !== expectedVersion) return false
      put(kinds, { kind, key, version, value })
      return true
    },
    replace(entries) {
      const next: Kinds = new Map()
      for (const entry of entries) put(next, entry)
      const isGone = ({ kind, key, value }: HeldEntry) => value !== null && !find(next, kind, key)
      const gone = entriesOf(kinds).filter(isGone)
      const changed = entries.filter(({ kind, key, version, value }) => {
        const before = current(kind, key)
        return before.version !== version || !isDeepStrictEqual(before.value, value)
      })
      kinds = next
      return [...gone.map(entry => ({ ...entry, ...NEVER })), ...changed]
    },
  }
}

const find = (kinds: Kinds, kind: ControlKind, key: string): Held | undefined => {
  const ofKind = kinds.get(kind)
  return ofKind?.held.get(key) ?? ofKind?.removed.get(key)
}

function entriesOf(kinds: Kinds): HeldEntry[] {
  return [...kinds].flatMap(([kind, { held, removed }]) =>
    [...held, ...removed].map(([key, one]) => ({ kind, key, ...one })),
  )
}

/** What is put last is last. */
function put(kinds: Kinds, { kind, key, version, value }: HeldEntry): void {
  const ofKind = kinds.get(kind) ?? { held: new Map(), removed: new Map() }
  kinds.set(kind, ofKind)
  const { held, removed } = ofKind
  held.delete(key)
  removed.delete(key)
  if (value !== null) held.set(key, { version, value })
  else if (!FORGOTTEN_KINDS.has(kind)) removed.set(key, { version, value })
  const [oldest] = removed.keys()
  if (removed.size > REMOVED_MAX && oldest !== undefined) removed.delete(oldest)
}
