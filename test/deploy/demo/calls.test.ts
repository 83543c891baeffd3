import { Compile } from 'typebox/compile'
import { describe, expect, test } from 'vitest'
import { CanonicalCall } from '../../../collector/normalize/canonical.ts'
import { callsOfMinute, MINUTE_MS } from '../../../deploy/demo/calls.ts'
import { DEMO_DAYS, HABITS } from '../../../deploy/demo/habits.ts'

const DAY_MS = 24 * 60 * MINUTE_MS
const ORIGIN_MS = Date.UTC(2026, 10, 20, 15)
const canonicalCall = Compile(CanonicalCall)

const minutesOf = (fromMs: number, toMs: number) =>
  Array.from({ length: (toMs - fromMs) / MINUTE_MS }, (_, minute) => fromMs + minute * MINUTE_MS)
const callsBetween = (fromMs: number, toMs: number) =>
  minutesOf(fromMs, toMs).flatMap(minuteMs => callsOfMinute(minuteMs, ORIGIN_MS))

describe('the calls of the demo', () => {
  test('are the same whenever a minute is asked for, and in order', () => {
    const [minuteMs = 0] = minutesOf(ORIGIN_MS - DAY_MS, ORIGIN_MS)
    const calls = callsOfMinute(minuteMs, ORIGIN_MS)
    expect(calls.length).toBeGreaterThan(0)
    expect(callsOfMinute(minuteMs, ORIGIN_MS)).toEqual(calls)
    const starts = calls.map(({ call }) => call.startedAtMs)
    expect(starts).toEqual(starts.toSorted((one, other) => one - other))
    expect(starts.every(atMs => atMs >= minuteMs && atMs < minuteMs + MINUTE_MS)).toBe(true)
  })

  test('can be read, but for those that are broken on purpose', () => {
    const planned = callsBetween(ORIGIN_MS - 2 * DAY_MS, ORIGIN_MS)
    expect(planned.filter(({ call }) => !canonicalCall.Check(call))).toEqual([])
    const broken = planned.filter(one => one.broken !== null)
    expect(broken.length).toBeGreaterThan(3)
    expect(broken.length).toBeLessThan(planned.length / 200)
    expect(broken.filter(one => canonicalCall.Check(one.broken))).toEqual([])
    const sundayMs = Date.UTC(2026, 10, 15)
    for (let hour = 0; hour < 24; hour += 3) {
      const calls = callsBetween(sundayMs + hour * 60 * MINUTE_MS, sundayMs + (hour + 6) * 60 * MINUTE_MS)
      expect(calls.some(one => one.broken !== null)).toBe(true)
    }
  })

  test('have ids of their own, and say that they are synthetic', () => {
    const planned = callsBetween(ORIGIN_MS - DAY_MS, ORIGIN_MS)
    expect(new Set(planned.map(({ call }) => call.requestId)).size).toBe(planned.length)
    for (const { call } of planned) {
      expect([call.tenant, call.consumer, call.model, call.gateway].every(name => name?.startsWith('demo-'))).toBe(true)
      expect(call.labels.demo).toBe('synthetic')
    }
  })

  test('show every habit: weekends, growth, bursts, a leak', () => {
    const countOf = (consumer: string, fromMs: number, toMs: number) =>
      callsBetween(fromMs, toMs).filter(({ call }) => call.consumer === consumer).length
    const wednesdayMs = Date.UTC(2026, 10, 18)
    const sundayMs = Date.UTC(2026, 10, 15)
    const ofDay = (consumer: string, dayMs: number) => countOf(consumer, dayMs, dayMs + DAY_MS)
    expect(ofDay('demo-office-assistant', wednesdayMs)).toBeGreaterThan(3 * ofDay('demo-office-assistant', sundayMs))
    expect(ofDay('demo-growing-app', wednesdayMs)).toBeGreaterThan(
      1.5 * ofDay('demo-growing-app', ORIGIN_MS - DEMO_DAYS * DAY_MS),
    )
    const burstMs = wednesdayMs + 60 * MINUTE_MS
    expect(countOf('demo-batch-nightly', burstMs, burstMs + 30 * MINUTE_MS)).toBeGreaterThan(200)
    const leaked = callsBetween(ORIGIN_MS - DAY_MS, ORIGIN_MS).filter(({ call }) => call.consumer === 'demo-leak-key')
    expect(leaked.length).toBeGreaterThan(10 * ofDay('demo-leak-key', wednesdayMs))
    expect(new Set(leaked.map(({ call }) => call.clientIp?.replace(/\.\d+$/, ''))).size).toBeGreaterThan(20)
    const seen = new Set(callsBetween(ORIGIN_MS - 2 * DAY_MS, ORIGIN_MS).map(({ call }) => call.consumer))
    expect(HABITS.filter(({ consumer }) => !seen.has(consumer))).toEqual([])
  })
})
