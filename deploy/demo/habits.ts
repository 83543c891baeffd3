/** Who calls in the demo, and when: invented tenants with the habits that real ones have. */

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** How long before the first start the calls of the demo begin: two weeks of whole days, which trends need. */
export const DEMO_DAYS = 15
/** How long before the first start the key leaked. */
const LEAKED_BEFORE_MS = 30 * HOUR_MS
const GROWTH_A_DAY = 1.09

/** An instant as habits see it: UTC, and relative to the demo's first start. */
interface Moment {
  /** Hour of the day, with its fraction. */
  hour: number
  isWeekend: boolean
  /** Negative before the demo's first start. */
  daysSinceStart: number
  hasLeaked: boolean
}

interface DemoModel {
  provider: string
  model: string
  providerKey: string
  /** Share of the consumer's calls. */
  share: number
}

export interface Habit {
  tenant: string
  consumer: string
  team: string
  gateway: string
  route: string
  models: readonly DemoModel[]
  /** Means. */
  inputTokens: number
  outputTokens: number
  latencyMs: number
  /** How its gateway asks the limiter before a call. */
  asks: 'check' | 'reservation' | 'never'
  /** Networks that it calls from. */
  networks: (moment: Moment) => readonly string[]
  callsPerMinute: (moment: Moment) => number
}

const LARGE: DemoModel = {
  provider: 'demo-ai',
  model: 'demo-large',
  providerKey: 'demo-ai-key-1',
  share: 0.6,
}
const SMALL: DemoModel = { ...LARGE, model: 'demo-small', share: 0.4 }
const OTHER: DemoModel = { provider: 'demo-cloud', model: 'demo-large', providerKey: 'demo-cloud-key-1', share: 0.4 }
const EMBEDDING: DemoModel = { provider: 'demo-ai', model: 'demo-embedding', providerKey: 'demo-ai-key-2', share: 1 }

const CHAT = { gateway: 'demo-edge-eu', route: '/v1/chat/completions', inputTokens: 1_300, outputTokens: 500 } as const
/** Addresses for documentation and for benchmarks, which are nobody's. */
const HOME = () => ['192.0.2']
const ABROAD = Array.from({ length: 40 }, (_, network) => `198.18.${network}`)

/** Smoothly from 0 over 1 in the middle to 0. */
const bell = (hour: number, from: number, to: number): number =>
  hour < from || hour > to ? 0 : Math.sin((Math.PI * (hour - from)) / (to - from))
/** True in the first part of a period. */
const isIn = (value: number, period: number, length: number): boolean => value % period < length

export const HABITS: readonly Habit[] = [
  {
    ...CHAT,
    tenant: 'demo-steady',
    consumer: 'demo-steady-search',
    team: 'search',
    route: '/v1/embeddings',
    models: [EMBEDDING],
    inputTokens: 320,
    outputTokens: 0,
    latencyMs: 90,
    asks: 'check',
    networks: HOME,
    callsPerMinute: () => 1.6,
  },
  {
    ...CHAT,
    tenant: 'demo-steady',
    consumer: 'demo-steady-chat',
    team: 'support',
    latencyMs: 1_500,
    models: [LARGE, SMALL],
    asks: 'reservation',
    networks: HOME,
    callsPerMinute: ({ hour }) => 0.9 + 0.1 * Math.sin((hour * Math.PI) / 12),
  },
  {
    ...CHAT,
    tenant: 'demo-office',
    consumer: 'demo-office-assistant',
    team: 'office',
    latencyMs: 1_800,
    models: [LARGE, OTHER],
    asks: 'check',
    networks: () => ['203.0.113'],
    callsPerMinute: ({ hour, isWeekend }) => (isWeekend ? 0.3 : 0.15 + 4.8 * bell(hour, 6, 17)),
  },
  {
    ...CHAT,
    tenant: 'demo-office',
    consumer: 'demo-office-reports',
    team: 'finance',
    latencyMs: 4_200,
    models: [OTHER],
    route: '/v1/reports',
    inputTokens: 6_000,
    outputTokens: 900,
    asks: 'never',
    networks: () => ['203.0.113'],
    callsPerMinute: ({ hour, isWeekend }) => (!isWeekend && isIn(hour, 4, 0.5) ? 1.5 : 0.03),
  },
  {
    ...CHAT,
    tenant: 'demo-batch',
    consumer: 'demo-batch-nightly',
    team: 'data',
    gateway: 'demo-edge-us',
    models: [SMALL],
    inputTokens: 2_000,
    outputTokens: 400,
    latencyMs: 1_100,
    asks: 'check',
    networks: HOME,
    callsPerMinute: ({ hour }) => (isIn(hour + 11, 12, 0.8) ? 12 : isIn(hour + 0.4, 1, 0.2) ? 4 : 0.02),
  },
  {
    ...CHAT,
    tenant: 'demo-idle',
    consumer: 'demo-idle-prototype',
    team: 'lab',
    gateway: 'demo-edge-us',
    models: [SMALL],
    latencyMs: 1_300,
    asks: 'never',
    networks: HOME,
    callsPerMinute: () => 0.006,
  },
  {
    ...CHAT,
    tenant: 'demo-growing',
    consumer: 'demo-growing-app',
    team: 'app',
    gateway: 'demo-edge-us',
    models: [LARGE, SMALL],
    latencyMs: 1_600,
    asks: 'check',
    networks: HOME,
    callsPerMinute: ({ hour, daysSinceStart }) =>
      1.7 * GROWTH_A_DAY ** Math.min(daysSinceStart, 0) * (0.6 + 0.8 * bell(hour, 5, 23)),
  },
  {
    ...CHAT,
    tenant: 'demo-leak',
    consumer: 'demo-leak-key',
    team: 'shop',
    inputTokens: 600,
    outputTokens: 300,
    models: [SMALL, { ...OTHER, share: 0.3 }],
    latencyMs: 1_200,
    asks: 'check',
    networks: ({ hasLeaked }) => (hasLeaked ? ABROAD : HOME()),
    // Its tokens of an hour last some eight minutes, so that it was refused within any quarter of an hour.
    callsPerMinute: ({ hasLeaked }) => (hasLeaked ? 18 : 0.25),
  },
]

/** The instant for a demo that was first started at `originMs`. */
export function momentOf(atMs: number, originMs: number): Moment {
  const date = new Date(atMs)
  return {
    hour: (atMs % DAY_MS) / HOUR_MS,
    isWeekend: date.getUTCDay() % 6 === 0,
    daysSinceStart: (atMs - originMs) / DAY_MS,
    hasLeaked: atMs >= originMs - LEAKED_BEFORE_MS,
  }
}
