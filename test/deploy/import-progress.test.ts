import { expect, test } from 'vitest'
import type { ImportProgress } from '../../collector/receive/import-run.ts'
import { createProgressDisplay, progressText, type Screen } from '../../deploy/import-progress.ts'

const HALF: ImportProgress = {
  path: 'logs/conv.csv',
  phase: 'importing',
  bytesRead: 500,
  bytes: 1000,
  accepted: 90_000,
  rejected: 0,
}

function screenOf(more: Omit<Screen, 'write'>): { screen: Screen; written: string[] } {
  const written: string[] = []
  return { screen: { ...more, write: text => written.push(text) }, written }
}

test('says share, calls, rate and time left', () => {
  expect(progressText(HALF, 2000)).toBe('50 %, 90,000 calls, 45,000/s, 0:02 left, conv.csv')
  expect(progressText({ ...HALF, bytesRead: 1, rejected: 7 }, 4000)).toBe(
    '0 %, 90,000 calls, 7 rejected, 22,500/s, 1:06:36 left, conv.csv',
  )
  expect(progressText({ ...HALF, bytesRead: 0, accepted: 0 }, 0)).toBe('0 %, 0 calls, 0/s, conv.csv')
  expect(progressText({ ...HALF, phase: 'looking for the last call' }, 2000)).toBe(
    '50 %, looking for the last call, 0:02 left, conv.csv',
  )
})

test('draws a bar on a terminal, over itself and no wider than the screen', () => {
  const { screen, written } = screenOf({ isTTY: true, columns: 40 })
  let nowMs = 0
  const display = createProgressDisplay(screen, () => nowMs)
  display.show(HALF)
  display.show(HALF)
  nowMs = 1000
  display.show(HALF)
  display.clear()
  expect(written).toHaveLength(3)
  expect(written[1]).toContain(`\r\u001b[K[${'█'.repeat(12)}${'░'.repeat(12)}] 50 %`)
  expect(written[1]?.replace('\r\u001b[K', '').length).toBe(39)
  expect(written[2]).toBe('\r\u001b[K')
})

test('writes a plain line now and then elsewhere', () => {
  const { screen, written } = screenOf({})
  let nowMs = 0
  const display = createProgressDisplay(screen, () => nowMs)
  for (nowMs = 0; nowMs <= 11_000; nowMs += 100) display.show(HALF)
  display.clear()
  expect(written).toHaveLength(2)
  expect(written[0]).toMatch(/^50 %.*\n$/)
})
