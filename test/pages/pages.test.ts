/** What is generated and kept in the tree is what would be generated now. */
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { DIALECTS } from '../../collector/normalize/dialects.ts'
import { GUIDES } from '../../deploy/gateways/guides.ts'
import { ASKING } from '../e2e/gateways/asking.ts'
import { allPages, GATEWAYS_FOLDER, pathOf } from './pages.ts'

/** What asks and is run by tests of its own: `test/e2e/{stream-done,litellm}.test.ts`, `test/deploy/gateways/middleware.test.ts`. */
const RUN_ELSEWHERE = [
  'envoy: Telling what a call took',
  'litellm: With a call hook',
  'node: Express, and whatever has its middleware',
  'node: Fastify',
  'node: Calls whose cost is known afterwards',
]

/** It recognizes what others wrote. */
const WITHOUT_GUIDE = ['auto']

const pages = allPages()

test.each([...pages])('%s is as `npm run pages` writes it', (page, text) => {
  expect(readFileSync(pathOf(page), 'utf8')).toBe(text)
})

test('there is no page of a gateway that is gone', () => {
  const files = readdirSync(pathOf(GATEWAYS_FOLDER)).filter(file => file.endsWith('.md'))
  expect(files.filter(file => !pages.has(`${GATEWAYS_FOLDER}/${file}`))).toEqual([])
})

test('every dialect has a guide, and every guide a dialect', () => {
  const guided = new Set(GUIDES.map(({ dialect }) => dialect))
  const dialects = DIALECTS.map(({ name }) => name).filter(name => !WITHOUT_GUIDE.includes(name))
  expect([...guided].toSorted()).toEqual(dialects.toSorted())
})

test.each(GUIDES)('what $name is tried as is a source', ({ name }) => {
  const page = pages.get(`${GATEWAYS_FOLDER}/${name}.md`)
  const [, source] = /try --source (\S+) FILE/.exec(page ?? '') ?? []
  expect(DIALECTS.map(dialect => dialect.name)).toContain(source)
})

/** Some who read these variables decode them, as the specification says, and some do not, such as LiteLLM. */
test('headers in variables of the environment are the same decoded and as they are', () => {
  const variables = [...pages.values()].flatMap(page => page.match(/^\w+_HEADERS=.*$/gm) ?? [])
  expect(variables.length).toBeGreaterThan(0)
  for (const line of variables) expect(line).toMatch(/^\w+_HEADERS=[\w-]+=[\w-]+(,[\w-]+=[\w-]+)*$/)
})

test('a Collector that follows files goes on where it was: it would begin again at each start', () => {
  const configs = [...pages.values()].flatMap(page => page.match(/^receivers:\n {2}filelog:\n[\s\S]*?^```/gm) ?? [])
  expect(configs.length).toBeGreaterThan(0)
  for (const config of configs)
    expect(config).toMatch(/ {4}storage: file_storage\n[\s\S]* {2}extensions: \[file_storage\]/)
})

test('no two guides have one name', () => {
  expect(new Set(GUIDES.map(({ name }) => name)).size).toBe(GUIDES.length)
})

test('what pages say that tests run is what tests run', () => {
  const said = GUIDES.flatMap(({ name, asks = [] }) =>
    asks.filter(({ run }) => run.by === 'tests').map(({ title }) => `${name}: ${title}`),
  )
  const run = ASKING.map(({ guide, setups }) => `${guide}: ${setups.at(-1)}`)
  expect(said.toSorted()).toEqual([...run, ...RUN_ELSEWHERE].toSorted())
})
