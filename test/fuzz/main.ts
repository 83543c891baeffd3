/**
 * `npm run fuzz` spoils the fixtures of every dialect for a minute each, `npm run fuzz -- kong nginx --seconds 10 --seed 7`
 * those of some. Whatever comes in, a decoder does not throw, makes no record that is none, and says the same twice.
 */
import { strict as assert } from 'node:assert'
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import fc from 'fast-check'
import { inputText, outcomesOf } from '../collector/normalize/outcomes.ts'
import { mutation, unsoundness } from '../collector/normalize/sound.ts'
import type { Fixture } from '../fixtures/sources/fixture.ts'
import { FIXTURES } from '../fixtures/sources/index.ts'

const SECONDS = 60
const MUTATIONS_MAX = 5
const RUNS_MAX = 2 ** 31 - 1

function fuzz(fixture: Fixture, seconds: number, seed: number): boolean {
  const inputs = fixture.calls.map(inputText)
  const mutations = fc.array(mutation, { minLength: 1, maxLength: MUTATIONS_MAX })
  const property = fc.property(fc.constantFrom(...inputs), mutations, (input, mutate) => {
    const spoiled = mutate.reduce((text, change) => change(text), input)
    const outcomes = outcomesOf(fixture, spoiled)
    for (const outcome of outcomes) assert.equal(unsoundness(outcome, []), null, spoiled)
    assert.deepEqual(outcomesOf(fixture, spoiled), outcomes, spoiled)
  })
  const found = fc.check(property, { seed, numRuns: RUNS_MAX, interruptAfterTimeLimit: seconds * 1000 })
  const verdict = found.failed ? `failed\n${fc.defaultReportMessage(found)}` : 'ok'
  process.stdout.write(`${fixture.dialect}: ${found.numRuns} spoiled inputs, ${verdict}\n`)
  return !found.failed
}

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: String(SECONDS) }, seed: { type: 'string' } },
  allowPositionals: true,
})
const seconds = Number(values.seconds)
const seed = values.seed === undefined ? randomInt(RUNS_MAX) : Number(values.seed)
const unknown = positionals.filter(name => !FIXTURES.some(({ dialect }) => dialect === name))
if (!(seconds > 0) || !Number.isSafeInteger(seed) || unknown.length > 0) {
  const names = FIXTURES.map(({ dialect }) => dialect).join(', ')
  process.stderr.write(`npm run fuzz -- [DIALECT …] [--seconds N] [--seed N], where dialects are: ${names}.\n`)
  process.exit(2)
}
process.stdout.write(`seed ${seed}\n`)
const asked = FIXTURES.filter(({ dialect }) => positionals.length === 0 || positionals.includes(dialect))
const results = asked.map(fixture => fuzz(fixture, seconds, seed))
process.exitCode = results.every(Boolean) ? 0 : 1
