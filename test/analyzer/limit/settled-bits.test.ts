import { expect, test } from 'vitest'
import {
  CHUNK_SEQUENCES,
  createSettledBits,
  type Epoch,
  SETTLE_HORIZON_MS,
} from '../../../analyzer/limit/settled-bits.ts'

const epoch = (number: number, fields: Partial<Epoch> = {}): Epoch => ({
  epoch: number,
  durableSequence: 0,
  endedAtMs: null,
  floorSequence: 0,
  chunks: new Map(),
  ...fields,
})
const nowMs = 1e12

test('remembers who settled each sequence, and nothing about its neighbours', () => {
  const bits = createSettledBits([], epoch(10), { nowMs, forgottenEpoch: 0 })
  bits.mark(10, 4, 'caller', nowMs)
  bits.mark(10, 5, 'record', nowMs)
  bits.mark(10, CHUNK_SEQUENCES * 7, 'record', nowMs)
  expect([3, 4, 5, 6, CHUNK_SEQUENCES * 7].map(sequence => bits.stateOf(10, sequence))).toEqual([
    'open',
    'caller',
    'record',
    'open',
    'record',
  ])
  bits.mark(10, 4, 'record', nowMs)
  expect(bits.stateOf(10, 4)).toBe('record')
})

test('charges of earlier epochs are in the counters up to what was durable, those of unknown epochs are not', () => {
  const earlier = epoch(5, { durableSequence: 100, endedAtMs: nowMs })
  const bits = createSettledBits([earlier], epoch(10), { nowMs, forgottenEpoch: 0 })
  expect([bits.isCharged(5, 100), bits.isCharged(5, 101), bits.isCharged(10, 7), bits.isCharged(7, 1)]).toEqual([
    true,
    false,
    true,
    false,
  ])
  bits.mark(7, 1, 'record', nowMs)
  expect([bits.stateOf(7, 1), bits.stateOf(7, 2), bits.isCharged(7, 1)]).toEqual(['record', 'open', false])
})

test('epochs that ended before the horizon are forgotten, and so are all before them', () => {
  const old = epoch(5, { endedAtMs: nowMs - SETTLE_HORIZON_MS - 1 })
  const bits = createSettledBits([old, epoch(6, { endedAtMs: nowMs })], epoch(10), { nowMs, forgottenEpoch: 0 })
  expect([bits.stateOf(5, 1), bits.stateOf(4, 1), bits.stateOf(6, 1)]).toEqual(['forgotten', 'forgotten', 'open'])
  expect(bits.forgottenEpoch()).toBe(5)
})

test('the oldest sequences make room, and say so', () => {
  const bits = createSettledBits([], epoch(10), { nowMs, forgottenEpoch: 0, chunksMax: 2 })
  bits.mark(10, 1, 'record', nowMs)
  bits.mark(10, CHUNK_SEQUENCES, 'record', nowMs)
  expect(bits.mark(10, CHUNK_SEQUENCES * 2, 'record', nowMs)).toEqual([
    { epoch: 10, chunk: 2 },
    { epoch: 10, chunk: 0 },
  ])
  expect([bits.stateOf(10, 1), bits.stateOf(10, CHUNK_SEQUENCES)]).toEqual(['forgotten', 'record'])
})

test('an epoch that was forgotten to make room stays forgotten when it is read again', () => {
  const before = createSettledBits([epoch(5, { endedAtMs: nowMs })], epoch(10), {
    nowMs,
    forgottenEpoch: 0,
    chunksMax: 1,
  })
  before.mark(10, 1, 'record', nowMs)
  before.mark(10, CHUNK_SEQUENCES, 'record', nowMs)
  expect(before.stateOf(5, 1)).toBe('forgotten')
  const forgottenEpoch = before.forgottenEpoch()
  const after = createSettledBits([epoch(5, { endedAtMs: nowMs })], epoch(11), { nowMs, forgottenEpoch })
  expect([after.stateOf(5, 1), after.epochs.has(5)]).toEqual(['forgotten', false])
})
