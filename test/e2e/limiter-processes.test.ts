import { afterAll, beforeAll, expect, test } from 'vitest'
import { childrenOf } from '../bench/machine.ts'
import { describeWith } from '../servers/describe-with.ts'
import { prepareQuotacast, type Quotacast } from './quotacast.ts'
import { ON_REDIS, type StartedWorld } from './world.ts'

const TEST_MS = 120_000
const PROCESSES = 3
const LIMIT = 200
const CALLERS = 300

describeWith(ON_REDIS.checks, 'limiter processes that share their ports', () => {
  let world: StartedWorld
  let quotacast: Quotacast
  beforeAll(async () => {
    world = await ON_REDIS.start()
    const window = { kind: 'calendar', every: 'year', timezone: 'UTC' }
    quotacast = await prepareQuotacast({
      ...world.config,
      limiter: { ...(world.config.limiter ?? {}), processes: PROCESSES },
      quotas: [{ name: 'q', per: ['consumer'], unit: 'requests', limit: LIMIT, window }],
    })
    await quotacast.start()
    await quotacast.ready()
  }, TEST_MS)
  afterAll(async () => {
    await quotacast?.stop()
    quotacast?.remove()
    await world?.stop()
  }, TEST_MS)

  const limiters = () => childrenOf(quotacast.pid()).filter(({ command }) => command.includes('serve limiter'))
  /** Over a connection of its own, so that the machine spreads them over the processes. */
  const check = async (consumer: string) => {
    const response = await fetch(`${quotacast.urls.limiter}/v1/check`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${quotacast.token}`,
        connection: 'close',
      },
      body: JSON.stringify({ tenant: 'acme', consumer }),
    })
    const { allowed, degraded } = (await response.json()) as { allowed: boolean; degraded: boolean }
    return { allowed, degraded }
  }

  test('count together, and go on when one of them is killed', { timeout: TEST_MS }, async () => {
    expect(limiters()).toHaveLength(PROCESSES)
    let asked = 0
    const askAtOnce = async () => {
      const answers = await Promise.all(Array.from({ length: CALLERS }, () => check(`web-${asked}`)))
      asked += CALLERS
      return answers
    }
    // Redis may be late for some where the machine is busy: then others ask.
    let answers = await askAtOnce()
    while (answers.some(({ degraded }) => degraded)) answers = await askAtOnce()
    expect(answers.filter(({ allowed }) => allowed)).toHaveLength(LIMIT)

    // Whichever of them answers a scrape tells of all: counters that went up and down would be taken for restarts.
    const decided = async () => {
      const { body } = await quotacast.get('limiter', '/metrics', { connection: 'close' })
      const series = (body as string).matchAll(/^quotacast_decisions_total\{process="(\d)".* (\d+)$/gm)
      return Array.from(series, ([, process, count]) => ({ process, count: Number(count) }))
    }
    const sum = async () => (await decided()).reduce((total, { count }) => total + count, 0)
    await expect.poll(sum, { timeout: 30_000, interval: 1_000 }).toBe(asked)
    for (let scrape = 0; scrape < 10; scrape++) expect(await sum()).toBe(asked)
    expect(new Set((await decided()).map(({ process }) => process))).toEqual(new Set(['0', '1', '2']))
    const accept = 'application/openmetrics-text'
    const open = (await quotacast.get('limiter', '/metrics', { accept })).body as string
    expect(open.match(/^quotacast_decisions_total\{process="\d"/gm)?.length).toBeGreaterThanOrEqual(PROCESSES)
    expect(open.match(/^# TYPE quotacast_decisions counter$/gm)).toHaveLength(1)
    expect(open.split('# EOF')).toEqual([expect.stringMatching(/\n$/), '\n'])

    const [first] = limiters()
    if (first === undefined) throw new Error('expected a limiter')
    process.kill(first.pid, 'SIGKILL')
    await expect.poll(() => limiters().some(({ pid }) => pid !== first.pid)).toBe(true)
    await expect.poll(() => check('web-0').catch(() => null)).toEqual({ allowed: false, degraded: false })
    await expect.poll(() => limiters().length).toBe(PROCESSES)
  })
})
