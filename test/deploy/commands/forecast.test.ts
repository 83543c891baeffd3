import { expect, test } from 'vitest'
import { forecast, NOW_MS } from '../../analyzer/api/forecast-fixture.ts'
import { fakeAnalyzer } from './fake-analyzer.ts'

const asked: string[] = []
const path = {
  history: [
    [NOW_MS - 1_000_000, 0],
    [NOW_MS, 40],
  ],
  bands: [{ atMs: NOW_MS + 1_000_000, p50: 120 }],
}
const all = [
  forecast('hourly', 'late', 0.2),
  forecast('hourly', 'soon', 0.94),
  { ...forecast('hourly', '', 1), used: 100, exhaustionAtMs: { p10: 1, p50: 1, p90: 1 } },
]
const special: Record<string, unknown[]> = {
  none: [],
  nobody: [],
  money: [{ ...forecast('monthly', 'web', 0.9), unit: 'cost', used: 4_999_999, limit: 5_000_000 }],
  hostile: [forecast('hourly', 'red\u001b[31m\u009bm\n\u202erow', 0.9)],
}

/** Three subjects at risk, one to a page, of which one is gone when it is asked for. */
const answer = fakeAnalyzer(({ pathname, search, searchParams }) => {
  asked.push(`${pathname}${search}`)
  if (pathname === '/v1/quotas') return { quotas: [{ key: 'hourly' }, { key: 'none' }], nextCursor: null }
  if (pathname === '/v1/forecasts/path') return searchParams.get('consumer') === 'late' ? undefined : path
  const page = Number(searchParams.get('cursor') ?? 0)
  return {
    forecasts: special[searchParams.get('quota') ?? ''] ?? [all[page]],
    nextCursor: page < 2 ? `${page + 1}` : null,
    asOfMs: searchParams.get('tenant') === 'early' ? null : NOW_MS,
  }
})
const run = (...args: string[]) => answer('forecast', ...args)

test('the most likely to run out come first, each with a line of its window', async () => {
  const { code, stdout } = await run('--risk', '0.2')
  expect(code).toBe(0)
  const [header, usedUp, soon, late, ...rest] = stdout.trimEnd().split('\n')
  expect(header).toMatch(/^quota +subject +used +of +risk +runs out at +until the reset$/)
  expect(usedUp).toContain('consumer=(unknown)')
  expect(usedUp).toContain('used up')
  expect(soon).toMatch(/consumer=soon +40 +100 requests +94 % .*│.*█$/)
  expect(late).toMatch(/consumer=late .* 20 %/)
  expect(late).not.toContain('│')
  expect(rest).toEqual([])
  expect(asked[0]).toBe('/v1/forecasts?atRisk=0.2&limit=1000')
})

test('a name moves no cursor, colours and turns nothing around, and stays in its row', async () => {
  const { stdout } = await run('--quota', 'hostile')
  expect(stdout).toContain('consumer=red\ufffd[31m\ufffdm\ufffd\ufffdrow')
  expect(JSON.parse((await run('--quota', 'hostile', '--json')).stdout)[0].subject.consumer).toBe(
    'red\u001b[31m\u009bm\n\u202erow',
  )
})

test('machines get everything', async () => {
  const { stdout } = await run('--json', '--rows', '1')
  expect(JSON.parse(stdout)).toMatchObject([
    { quota: 'hourly', probability: 1, history: path.history, bands: path.bands },
  ])
})

test('nobody at risk is good news', async () => {
  expect((await run('--quota', 'none')).stdout).toBe(
    'No subject has a risk of 10 % or more to run out before its reset.\n',
  )
})

test.each([
  ['--risk', '2', 'from 0 to 1'],
  ['--risk', 'high', 'from 0 to 1'],
  ['--risk', '', 'from 0 to 1'],
  // It showed nothing, as if nobody were at risk.
  ['--rows', '0', 'from 1 to 1000'],
])('%s %j is a mistake of the user', async (option, value, range) => {
  const { code, stderr } = await run(option, value)
  expect(stderr).toContain(`${option} is a number ${range}`)
  expect(code).toBe(2)
})

test('costs are told in the currency, not in millionths of it', async () => {
  const { stdout } = await run('--quota', 'money', '--set', 'currency=EUR')
  expect(stdout.split('\n')[1]).toMatch(/ 5\.00 +5\.00 EUR +90 % /)
})

test('a quota that there is not is told, with those that there are', async () => {
  const { code, stdout, stderr } = await run('--quota', 'nobody')
  expect(stderr).toContain('there is no quota nobody; known are hourly, none')
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
})

test('before the analyzer has looked, nobody is said to have no risk', async () => {
  expect((await run('--quota', 'none', '--tenant', 'early')).stdout).toBe(
    'The analyzer has forecast nothing yet: ask again in a moment.\n',
  )
})
