import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'

/** One line that names the machine and the day, for the head of every table. */
export function machineLine(): string {
  const memoryGiB = Math.round(totalmem() / 2 ** 30)
  const day = new Date().toISOString().slice(0, 10)
  return `${day} · ${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'}) · ${memoryGiB} GiB · Linux ${release()} · Node ${process.versions.node}`
}

/** Linux counts CPU time in ticks of a hundredth of a second on every architecture we run on. */
const TICKS_PER_SECOND = 100

/** User and system seconds that a process has used so far, its ended threads included. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** The same of several. */
export const cpuSecondsOf = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)

/** Resident memory of a process in MiB. */
export const residentMiB = (pid: number): number => statusMiB(pid, 'VmRSS')

/** The same without the pages of files that it maps, which the kernel takes back when it needs them. */
export const anonymousMiB = (pid: number): number => statusMiB(pid, 'RssAnon')

/** 0 when it is gone. */
function statusMiB(pid: number, field: string): number {
  const file = `/proc/${pid}/status`
  const line = existsSync(file) ? new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync(file, 'utf8')) : null
  return Number(line?.[1] ?? 0) / 1024
}

/** Direct children of a process, with their command lines. */
export function childrenOf(pid: number): { pid: number; command: string }[] {
  let listed: string
  try {
    listed = execFileSync('ps', ['--ppid', String(pid), '-o', 'pid=,args='], { encoding: 'utf8' })
  } catch {
    return []
  }
  return listed
    .split('\n')
    .map(line => line.trim().match(/^(\d+) (.*)$/))
    .filter(match => match !== null)
    .map(match => ({ pid: Number(match[1]), command: match[2] ?? '' }))
}
