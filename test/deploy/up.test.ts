import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type SupervisedRole, superviseRole, yieldProcessor } from '../../deploy/up.ts'

let dir: string
let lives: string
const roles: SupervisedRole[] = []
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'quotacast-'))
  lives = join(dir, 'lives')
  writeFileSync(lives, '')
})
afterEach(async () => {
  await Promise.all(roles.splice(0).map(role => role.stop()))
  rmSync(dir, { recursive: true, force: true })
})

/** A role that notes each of its lives, and then does `body`. */
function supervise(body: string, options: Partial<Parameters<typeof superviseRole>[0]> = {}): SupervisedRole {
  const module = join(dir, 'role.mjs')
  writeFileSync(
    module,
    `import { appendFileSync } from 'node:fs'\nappendFileSync(process.argv[2], process.pid + '\\n')\n${body}`,
  )
  const role = superviseRole({
    name: 'limiter',
    module,
    args: [lives],
    log: pino({ level: 'silent' }),
    ...options,
  })
  roles.push(role)
  return role
}
const pids = () => readFileSync(lives, 'utf8').split('\n').filter(Boolean).map(Number)
const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
const untilLives = (count: number) => expect.poll(() => pids().length).toBeGreaterThanOrEqual(count)
const STAY = 'setInterval(() => {}, 1000)'

describe('a supervised role', () => {
  const niceOf = (pid: number) =>
    readdirSync(`/proc/${pid}/task`).map(thread => {
      const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
    })

  test.runIf(process.platform === 'linux')('yields the processor with all of its threads when told to', async () => {
    supervise(STAY, { isBackground: true })
    supervise(STAY)
    await untilLives(2)
    const nices = pids()
      .map(niceOf)
      .toSorted(([one = 0], [other = 0]) => one - other)
    const own = getPriority()
    expect(new Set(nices[0])).toEqual(new Set([own]))
    expect(new Set(nices[1])).toEqual(new Set([Math.max(own, 10)]))
    expect(nices[1]?.length).toBeGreaterThan(2)
  })

  test.runIf(process.platform === 'linux')('yields it also with threads that it had before', async () => {
    supervise(STAY)
    await untilLives(1)
    const [pid = Number.NaN] = pids()
    expect(niceOf(pid).length).toBeGreaterThan(2)
    yieldProcessor(pid)
    expect(new Set(niceOf(pid))).toEqual(new Set([Math.max(getPriority(), 10)]))
  })

  test('is started again when it is killed', async () => {
    const role = supervise(STAY)
    await untilLives(1)
    process.kill(role.pid() ?? Number.NaN, 'SIGKILL')
    await untilLives(2)
    expect(role.pid()).toBe(pids().at(-1))
  })

  test('is heard by the other processes of its role, and by no others', async () => {
    const siblings: Parameters<typeof superviseRole>[0]['siblings'] = new Set()
    const body = `process.on('message', pid => appendFileSync(process.argv[2] + '.heard', pid + '\\n'))
      setInterval(() => process.send(process.pid), 50)`
    const together = [supervise(body, { siblings }), supervise(body, { siblings })]
    writeFileSync(`${lives}.heard`, '')
    supervise(body)
    await untilLives(3)
    const heard = () => new Set(readFileSync(`${lives}.heard`, 'utf8').split('\n').filter(Boolean).map(Number))
    await expect.poll(() => heard().size).toBe(2)
    expect(heard()).toEqual(new Set(together.map(role => role.pid())))
  })

  test('may still be spoken to by another one of its role when it has just died', async () => {
    const siblings: Parameters<typeof superviseRole>[0]['siblings'] = new Set()
    const reasons: string[] = []
    const log = pino({ base: null }, { write: line => void reasons.push(JSON.parse(line).reason) })
    const body = 'setInterval(() => process.send(process.pid), 1)'
    const [, dying] = [supervise(body, { siblings, log }), supervise(body, { siblings, log })]
    await untilLives(2)
    for (let lives = 3; lives < 6; lives++) {
      process.kill(dying.pid() ?? Number.NaN, 'SIGKILL')
      // What is said meanwhile is read before it is known.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
      await untilLives(lives)
    }
    expect(reasons).toEqual(Array(3).fill('signal SIGKILL'))
  })

  test('that dies at once is started again ever more slowly', async () => {
    const backoffsMs: number[] = []
    const log = pino({ base: null }, { write: line => void backoffsMs.push(JSON.parse(line).backoffMs) })
    supervise('process.exit(3)', { log })
    await expect.poll(() => backoffsMs.slice(0, 3)).toEqual([250, 500, 1_000])
    expect(pids().length).toBeGreaterThanOrEqual(3)
  })

  test('that Ctrl-C ends before it hears it is no role that died', async () => {
    const lines: string[] = []
    const log = pino({}, { write: line => lines.push(line) })
    supervise(`process.kill(process.pid, 'SIGINT')\n${STAY}`, { log })
    await untilLives(2)
    expect(lines).toEqual([])
  })

  test('is gone for good when it is stopped, also between two lives', async () => {
    const steady = supervise(STAY)
    await untilLives(1)
    await steady.stop()
    const [first = 0] = pids()
    expect(isAlive(first)).toBe(false)
    const dying = supervise('process.exit(3)')
    await untilLives(2)
    await expect.poll(() => dying.pid()).toBeNull()
    await dying.stop()
    const lives = pids().length
    await sleep(600)
    expect(pids()).toHaveLength(lives)
  })

  test('that does not hear SIGTERM is killed', async () => {
    const role = supervise(`process.on('SIGTERM', () => {})\n${STAY}`, { deadlineMs: 50 })
    await untilLives(1)
    await sleep(50)
    await role.stop()
    expect(isAlive(pids()[0] ?? 0)).toBe(false)
  })
})
