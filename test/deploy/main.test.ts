import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { freePorts } from '../free-ports.ts'

const REPOSITORY = new URL('../..', import.meta.url).pathname
const MAIN = join(REPOSITORY, 'deploy/main.ts')
const COMMANDS = readdirSync(join(REPOSITORY, 'deploy/commands')).map(file => file.replace('.ts', ''))

const run = (...args: string[]) => runNode([], args)
const runNode = (nodeOptions: readonly string[], args: readonly string[], entry = MAIN) =>
  new Promise<{ code: number; stdout: string; stderr: string }>(resolve => {
    const all = [...nodeOptions, entry, ...args]
    const child = execFile(process.execPath, all, { cwd: REPOSITORY }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })

describe('the CLI', () => {
  test('names every command in its help', async () => {
    const { code, stdout } = await run('--help')
    expect(code).toBe(0)
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command} +\\S`, 'm'))
  })

  test.each(COMMANDS)('%s --help says what it does, its options and examples that name it', async command => {
    const { code, stdout } = await run(command, '--help')
    expect(code).toBe(0)
    expect(stdout).toContain(`quotacast ${command}`)
    expect(stdout).toMatch(/--config FILE/)
    expect(stdout).toMatch(new RegExp(`Examples:\n  npm run quotacast -- ${command}`))
  })

  test.each([[['-h']], [['status', '-h']]])('%j is help, too', async args => {
    const { code, stdout } = await run(...args)
    expect(stdout).toMatch(/^ {2}--help|^ {2}status /m)
    expect(code).toBe(0)
  })

  test('of an option that there is not nothing else is said', async () => {
    expect((await run('status', '--colour')).stderr).toMatch(/^quotacast status: Unknown option '--colour'\nSee: /)
  })

  test.each([
    [[], 'COMMAND'],
    [['fly'], 'no command `fly`'],
    [['constructor'], 'no command `constructor`'],
    [['status', '--colour'], "Unknown option '--colour'"],
    [['status', 'limiter'], 'it takes options only'],
    [['up', '--roles', 'none', 'limiter'], 'it takes options only'],
    [['serve'], 'one ROLE is needed'],
    [['serve', 'king'], 'one ROLE is needed'],
  ])('%j is a mistake of the user: exit code 2', async (args, message) => {
    const { code, stderr } = await run(...args)
    expect(stderr).toContain(message)
    expect(stderr).not.toContain('    at ')
    expect(code).toBe(2)
  })

  test('check-config prints the whole config or all its problems', async () => {
    const fine = await run('check-config', '--json', '--set', 'limiter.port=8012')
    expect(fine.code).toBe(0)
    expect(JSON.parse(fine.stdout).limiter.port).toBe(8012)
    const busted = await run('check-config', '--config', 'test/fixtures/config/busted-choices.yaml')
    expect(busted.code).toBe(1)
    expect(busted.stderr).toContain('4 problems')
    expect(busted.stderr).not.toContain('    at ')
  })

  test('a timeout that has passed, as kafkajs computes them, is nothing to warn the user of', async () => {
    const source = `const { write } = process.stdout
      process.stdout.write = function (...written) {
        setTimeout(() => undefined, -5)
        process.emitWarning('another')
        return write.apply(this, written)
      }`
    const preload = `data:text/javascript,${encodeURIComponent(source)}`
    const { stdout, stderr } = await runNode(['--import', preload], ['--help'])
    expect(stdout).toContain('Commands:')
    expect(stderr).toContain('another')
    expect(stderr).not.toContain('TimeoutNegativeWarning')
  })

  test.each([MAIN, join(REPOSITORY, 'deploy/needs-node.mjs')])(
    '%s says to an older Node what is needed',
    async entry => {
      const source = `const versions = { ...process.versions, node: '20.20.2' }
      Object.defineProperties(process, { versions: { value: versions }, version: { value: 'v20.20.2' } })`
      const preload = `data:text/javascript,${encodeURIComponent(source)}`
      const { code, stdout, stderr } = await runNode(['--import', preload], ['--help'], entry)
      expect([code, stdout]).toEqual([2, ''])
      expect(stderr).toMatch(/^Quotacast needs Node 24, and this is v20\.20\.2: start it with `npm start` or .*\n$/)
    },
  )

  test('status without a running Quotacast says so', async () => {
    const [port] = await freePorts(1)
    const { code, stdout } = await run('status', '--data', '/nowhere', '--set', `collector.port=${port}`)
    expect(code).toBe(1)
    expect(stdout).toMatch(/collector +NOT READY/)
  })
})
