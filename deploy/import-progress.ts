/** How an import shows where it is: a bar that is redrawn on a terminal, now and then a line elsewhere. */
import { basename } from 'node:path'
import type { ImportProgress } from '../collector/receive/import-run.ts'

const BAR_CHARACTERS = 24
const REDRAW_MS = 100
const LINE_EVERY_MS = 5000
const SECOND_MS = 1000

export interface ProgressDisplay {
  show(progress: ImportProgress): void
  /** Makes room for a line of text; the bar is drawn again after it. */
  clear(): void
}

/** Where a display is drawn. */
export interface Screen {
  isTTY?: boolean
  columns?: number
  write(text: string): unknown
}

/** `now` in milliseconds of any clock that does not jump. */
export function createProgressDisplay(screen: Screen, now: () => number = () => performance.now()): ProgressDisplay {
  const isTerminal = screen.isTTY === true
  const everyMs = isTerminal ? REDRAW_MS : LINE_EVERY_MS
  let phase: ImportProgress['phase'] | null = null
  let phaseStartMs = now()
  let shownAtMs = isTerminal ? Number.NEGATIVE_INFINITY : now()
  return {
    show(progress) {
      if (progress.phase !== phase) {
        phase = progress.phase
        phaseStartMs = now()
      }
      if (now() - shownAtMs < everyMs) return
      shownAtMs = now()
      const elapsedMs = now() - phaseStartMs
      if (isTerminal) screen.write(`\r\u001b[K${progressBar(progress, elapsedMs).slice(0, (screen.columns ?? 80) - 1)}`)
      else screen.write(`${progressText(progress, elapsedMs)}\n`)
    },
    clear() {
      if (isTerminal) screen.write('\r\u001b[K')
    },
  }
}

const shareOf = ({ bytesRead, bytes }: ImportProgress) => (bytes === 0 ? 1 : Math.min(1, bytesRead / bytes))

function progressBar(progress: ImportProgress, elapsedMs: number): string {
  const filled = Math.round(shareOf(progress) * BAR_CHARACTERS)
  return `[${'█'.repeat(filled)}${'░'.repeat(BAR_CHARACTERS - filled)}] ${progressText(progress, elapsedMs)}`
}

/** As in `42 %, 31,000 calls, 45,000/s, 1:05 left, calls.csv`. */
export function progressText(progress: ImportProgress, elapsedMs: number): string {
  const share = shareOf(progress)
  const percent = `${Math.floor(share * 100)} %`
  const leftMs = share === 0 ? null : (elapsedMs / share) * (1 - share)
  const left = leftMs === null ? [] : [`${durationText(leftMs)} left`]
  const name = basename(progress.path)
  if (progress.phase === 'looking for the last call') return [percent, progress.phase, ...left, name].join(', ')
  const { accepted, rejected } = progress
  const perSecond = elapsedMs === 0 ? 0 : Math.round((accepted / elapsedMs) * SECOND_MS)
  const bad = rejected === 0 ? [] : [`${thousands(rejected)} rejected`]
  return [percent, `${thousands(accepted)} calls`, ...bad, `${thousands(perSecond)}/s`, ...left, name].join(', ')
}

export const thousands = (number: number): string => number.toLocaleString('en-US')

function durationText(ms: number): string {
  const seconds = Math.ceil(ms / SECOND_MS)
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)]
  const tail = String(seconds % 60).padStart(2, '0')
  return hours === 0 ? `${minutes}:${tail}` : `${hours}:${String(minutes).padStart(2, '0')}:${tail}`
}
