/** The dialects that need no config. */
import { canonical } from './canonical.ts'
import type { Dialect } from './draft.ts'

export const DIALECTS: readonly Dialect[] = [canonical]
