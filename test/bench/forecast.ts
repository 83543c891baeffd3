/**
 * The forecaster, judged by the public scorer beside the repository: it makes the tasks, `quotacast forecast-bench`
 * answers them, it scores the answers. Each series is answered with a calibrator that has not seen its fold.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { FOLDS, readSeries } from '../train/questions.ts'
import { coldTasks } from './cold-tasks.ts'
import { resampled } from './resampled.ts'
import { fixed, printTable } from './table.ts'

const REPOSITORY = new URL('../..', import.meta.url).pathname
const SHARED = new URL('../../../shared/', import.meta.url).pathname
const SCORER = join(SHARED, 'forecast-bench')
const DATA = join(SHARED, 'data/forecast')
const FOLD_MODELS = new URL('../train/folds.json', import.meta.url).pathname
const OUTPUT_BYTES_MAX = 64 * 2 ** 20

const run = promisify(execFile)
const scorer = async (script: string, ...args: string[]): Promise<string> => {
  const { stdout } = await run(process.execPath, [join(SCORER, script), ...args], { maxBuffer: OUTPUT_BYTES_MAX })
  return stdout
}

/** Pipes a file through `quotacast forecast-bench`, and appends the answers. */
async function answer(input: string, output: string, ...flags: string[]): Promise<void> {
  const child = spawn(process.execPath, [join(REPOSITORY, 'deploy/main.ts'), 'forecast-bench', ...flags], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  await Promise.all([
    pipeline(createReadStream(input), child.stdin),
    pipeline(child.stdout, createWriteStream(output, { flags: 'a' })),
  ])
  const [code] = await ended
  if (code !== 0) throw new Error(`quotacast forecast-bench ended with ${code}`)
}

/** Answers the tasks of each fold by what was trained on the others. */
async function answerCrossFitted(tasks: string, output: string, dir: string): Promise<void> {
  const models: unknown[] = JSON.parse(readFileSync(FOLD_MODELS, 'utf8'))
  const lines = readFileSync(tasks, 'utf8').trim().split('\n')
  const folds = new Map(readSeries(DATA).map(({ id, fold }) => [id, fold]))
  for (let fold = 0; fold < FOLDS; fold++) {
    const model = join(dir, `fold-${fold}.json`)
    const some = join(dir, `tasks-${fold}.jsonl`)
    writeFileSync(model, JSON.stringify(models[fold]))
    const isOfFold = (line: string) =>
      folds.get((JSON.parse(line) as { series: string }).series.replace(/@.*/, '')) === fold
    writeFileSync(some, lines.filter(isOfFold).join('\n'))
    await answer(some, output, '--calibrator', model)
  }
}

/** Keys of one day: beside the burn rate, and beside the share of all windows of the set that run out. */
async function benchColdStarts(dir: string): Promise<void> {
  const at = (name: string) => join(dir, name)
  const { tasks, truth } = coldTasks(DATA)
  writeFileSync(at('cold-tasks.jsonl'), tasks.map(line => JSON.stringify(line)).join('\n'))
  writeFileSync(at('cold-truth.jsonl'), truth.map(line => JSON.stringify(line)).join('\n'))
  await answerCrossFitted(at('cold-tasks.jsonl'), at('cold-quotacast.jsonl'), dir)
  await scorer('run.js', '--tasks', at('cold-tasks.jsonl'), '--model', 'burn-rate', '--out', at('cold-burn-rate.jsonl'))
  const forecasts = ['cold-quotacast.jsonl', 'cold-burn-rate.jsonl'].map(at).join(',')
  const json = await scorer('score.js', '--truth', at('cold-truth.jsonl'), '--forecasts', forecasts, '--json')
  const scores = JSON.parse(json) as { forecast: string; group: string; n: number; base: number; Brier: number }[]
  const ofForecast = (name: string) => scores.filter(({ forecast }) => forecast === name)
  process.stdout.write('Keys with one day of history, Brier score\n\n')
  printTable(
    ['group', 'forecasts', 'quotacast', 'burn rate', 'base rate of the set'],
    ofForecast('cold-quotacast').map(({ group, n, base, Brier }) => {
      const burnRate = ofForecast('cold-burn-rate').find(one => one.group === group)?.Brier ?? Number.NaN
      return [group, String(n), fixed(Brier, 4), fixed(burnRate, 4), fixed(base * (1 - base), 4)]
    }),
  )
}

/** Prints the scorer's tables: exhaustion by group of series, and the hourly series of the M4 competition. */
export async function benchForecast(): Promise<void> {
  if (!existsSync(SCORER) || !existsSync(DATA)) {
    process.stdout.write(`Forecasts: not measured. The scorer is expected at ${SCORER}, its data at ${DATA}.\n\n`)
    return
  }
  const dir = mkdtempSync(join(tmpdir(), 'quotacast-forecast-'))
  const at = (name: string) => join(dir, name)
  try {
    await scorer('tasks.js', '--out', dir)
    await answerCrossFitted(at('tasks.jsonl'), at('quotacast.jsonl'), dir)
    const exhaustion = await scorer('score.js', '--truth', at('truth.jsonl'), '--forecasts', at('quotacast.jsonl'))
    process.stdout.write(`Exhaustion, development half, cross-fitted by series\n\n${exhaustion}\n`)
    const { brier, logLoss } = resampled(at('truth.jsonl'), at('quotacast.jsonl'))
    const within = ({ mean, deviation }: typeof brier) => `${fixed(mean, 4)} ± ${fixed(deviation, 4)}`
    process.stdout.write(`With clients drawn again: Brier ${within(brier)}, log loss ${within(logLoss)}\n\n`)
    await benchColdStarts(dir)
    await scorer('m4.js', '--export', at('m4-in.jsonl'))
    await answer(at('m4-in.jsonl'), at('quotacast-m4.jsonl'), '--m4')
    const m4 = await scorer('m4.js', '--forecasts', at('quotacast-m4.jsonl'))
    process.stdout.write(`M4 hourly, validation cut\n\n${m4}\n`)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
