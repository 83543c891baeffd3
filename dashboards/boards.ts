/** All boards, in the order in which questions come up. */
import type { Board } from './board.ts'
import { cost } from './cost.ts'
import { exhaustion } from './exhaustion.ts'
import { forecastQuality } from './forecast-quality.ts'
import { keys } from './keys.ts'
import { limits } from './limits.ts'
import { overview } from './overview.ts'
import { pipeline } from './pipeline.ts'

export const BOARDS: readonly Board[] = [exhaustion, overview, keys, cost, limits, forecastQuality, pipeline]
