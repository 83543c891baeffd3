import { expect, test } from 'vitest'
import {
  type ControlChange,
  isChangeOfLaterVersion,
  isSnapshotPiece,
  parseControlChange,
  parseSnapshotPiece,
  type SnapshotPiece,
} from '../../../collector/log/control-change.ts'

const change: ControlChange = {
  changeId: 'c1',
  atMs: 1_800_000_000_000,
  by: 'admin',
  kind: 'token',
  key: 'gateway-1',
  expectedVersion: 0,
  version: 1,
  value: { scopes: ['check'] },
  reason: null,
}

test('reads what was written', () => {
  expect(parseControlChange(JSON.stringify(change))).toEqual(change)
  expect(parseControlChange(JSON.stringify({ ...change, value: null }))).toEqual({ ...change, value: null })
})

test.each([
  ['no JSON', '{'],
  ['a kind of a later version', JSON.stringify({ ...change, kind: 'spell' })],
  ['a missing field', JSON.stringify({ ...change, value: undefined })],
  ['an unknown field', JSON.stringify({ ...change, extra: 1 })],
  ['a version that cannot be', JSON.stringify({ ...change, version: 0 })],
])('steps over %s', (_name, value) => {
  expect(parseControlChange(value)).toBeNull()
})

const piece: SnapshotPiece = {
  snapshotId: 's1',
  asOfOffset: 5,
  part: 0,
  parts: 2,
  held: [{ kind: 'token', key: 'gateway-1', version: 3, value: null }],
}
const at = (offset: number, value: unknown) => ({ offset, value: JSON.stringify(value) })

test('a piece of a snapshot is no change, nor the other way round, and kinds of a later version are kept', () => {
  expect(parseSnapshotPiece(at(5, piece))).toEqual(piece)
  expect(parseControlChange(JSON.stringify(piece))).toBeNull()
  expect(isSnapshotPiece(JSON.stringify(change))).toBe(false)
  expect(parseSnapshotPiece(at(5, change))).toBeNull()
  const later = { ...piece, held: [{ kind: 'spell', key: 'x', version: 1, value: 1 }] }
  expect(parseSnapshotPiece(at(5, later))).toEqual(later)
})

test.each([
  ['lies before what it holds', 4, piece],
  ['is beyond the last one', 5, { ...piece, part: 2 }],
  ['is one of too many', 5, { ...piece, parts: 8_193 }],
  ['has no content', 5, { ...piece, held: undefined }],
])('a piece that %s is none', (_name, offset, value) => {
  expect(parseSnapshotPiece(at(offset, value))).toBeNull()
  expect(isSnapshotPiece(JSON.stringify(value))).toBe(true)
})

test('tells what a later version has changed from what is no change at all', () => {
  expect(isChangeOfLaterVersion(JSON.stringify({ ...change, kind: 'spell' }))).toBe(true)
  expect(isChangeOfLaterVersion(JSON.stringify({ ...change, extra: 1 }))).toBe(true)
  for (const value of ['{', '{"no":"change"}', 'null', JSON.stringify(change)]) {
    expect(isChangeOfLaterVersion(value)).toBe(false)
  }
})
