/** The demo keeps to a folder of its own: synthetic calls never get among real ones, nor real ones among them. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Type, { type Static } from 'typebox'
import Value from 'typebox/value'
import type { Config } from '../config-schema.ts'
import { MINUTE_MS } from './calls.ts'
import { DEMO_DAYS } from './habits.ts'

const MARKER = 'demo.json'
const DAY_MS = 24 * 60 * MINUTE_MS

const DemoState = Type.Object({
  /** First start, Unix milliseconds: what all habits refer to. */
  originMs: Type.Number(),
  /** All calls of minutes before are in the log. */
  filledToMs: Type.Number(),
})
export type DemoState = Static<typeof DemoState>

/** A folder that holds what it must not hold. */
class DemoFolderError extends Error {
  readonly code = 'DEMO_FOLDER'

  constructor(message: string) {
    super(message)
    this.name = 'DemoFolderError'
  }
}

/** Takes an empty folder for the demo, or opens the demo's own. Throws `DemoFolderError` for one with other data. */
export function openDemoFolder({ dataDir, log, store, limits }: Config, nowMs: number): DemoState {
  if ([log, store, limits].some(({ kind }) => kind !== 'embedded'))
    throw new DemoFolderError('The demo keeps everything in its own folder: leave log, store and limits embedded.')
  const file = join(dataDir, MARKER)
  if (existsSync(file)) return readState(file)
  if (existsSync(dataDir) && readdirSync(dataDir).length > 0) {
    throw new DemoFolderError(
      `${dataDir} holds other data, and the demo's synthetic calls would mix with it: choose an empty folder with --data.`,
    )
  }
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const begun = { originMs: nowMs, filledToMs: firstMinute(nowMs) }
  saveDemoState(dataDir, begun)
  return begun
}

/** Throws `DemoFolderError` for a folder of the demo: what others bring would mix with its synthetic calls. */
export function refuseDemoFolder(dataDir: string): void {
  if (!existsSync(join(dataDir, MARKER))) return
  throw new DemoFolderError(
    `${dataDir} holds the demo's synthetic calls: choose another folder with --data, or start the demo with \`npm start -- --demo\`.`,
  )
}

export const floorMinute = (atMs: number): number => atMs - (atMs % MINUTE_MS)

/** With which the calls begin of a demo that was first started at `originMs`. */
export const firstMinute = (originMs: number): number => floorMinute(originMs - DEMO_DAYS * DAY_MS)

export function saveDemoState(dataDir: string, state: DemoState): void {
  const file = join(dataDir, MARKER)
  writeFileSync(`${file}.new`, `${JSON.stringify(state)}\n`, { mode: 0o600, flush: true })
  renameSync(`${file}.new`, file)
}

function readState(file: string): DemoState {
  let content: unknown
  try {
    content = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    content = null
  }
  if (Value.Check(DemoState, content)) return content
  throw new DemoFolderError(`${file} cannot be read: delete the folder, and the demo fills a new one.`)
}
