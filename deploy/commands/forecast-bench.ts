import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { toForest } from '../../analyzer/forecast/trees.ts'
import { ReplayError, replayPoints, replayTasks } from '../../analyzer/tick/forecast-replay.ts'
import type { Command } from '../command.ts'

export const command: Command = {
  usage: '< tasks.jsonl > answers.jsonl',
  description:
    'Answers forecasting tasks line by line, one JSON object each, by the code and the state that the analyzer uses: ' +
    'lines `series`, `obs` and `task` in, `{id, p_exhaust, eta}` per task out. With --m4, histories in and ' +
    '`{id, point, lo, hi, deciles}` out. An answer is written before the next line is read.',
  options: {
    m4: { type: 'boolean', description: 'Histories to continue, instead of quotas to watch.' },
    calibrator: {
      type: 'string',
      value: 'FILE',
      description: 'Another calibrator than the one that ships, as for series that it was trained on.',
    },
  },
  examples: ['forecast-bench < tasks.jsonl > answers.jsonl', 'forecast-bench --m4 < in.jsonl > out.jsonl'],
  async run(invocation) {
    const file = invocation.text('calibrator')
    const forest = file === undefined ? undefined : toForest(JSON.parse(await readFile(file, 'utf8')))
    const answerOf = invocation.isSet('m4') ? replayPoints() : replayTasks(forest)
    let number = 0
    for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
      number++
      if (line.trim() === '') continue
      const answer = answerAt(number, () => answerOf(toValue(line)))
      // A pipe takes what its reader takes; we wait for him rather than hold all answers.
      if (answer !== null && !process.stdout.write(`${JSON.stringify(answer)}\n`)) await once(process.stdout, 'drain')
    }
    return 0
  },
}

function toValue(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    throw new ReplayError(`it is not JSON: ${(error as SyntaxError).message}`)
  }
}

/** Says in which line it is, if anything is wrong. */
function answerAt<T>(number: number, answer: () => T): T {
  try {
    return answer()
  } catch (error) {
    if (error instanceof ReplayError) error.message = `line ${number}: ${error.message}`
    throw error
  }
}
