import { describe, expect, test } from 'vitest'
import { createSessions, SESSION_SECONDS, sessionCookie, sessionIdOf } from '../../deploy/sessions.ts'

describe('sessions', () => {
  test('stand for their token until they end or are closed', () => {
    let nowMs = 0
    const sessions = createSessions(() => nowMs)
    const [one, other] = [sessions.open('token-a'), sessions.open('token-b')]
    expect(one).not.toBe(other)
    expect([one, other, 'no-id'].map(sessions.tokenOf)).toEqual(['token-a', 'token-b', null])
    sessions.close(one)
    expect(sessions.tokenOf(one)).toBeNull()
    nowMs = SESSION_SECONDS * 1000
    expect(sessions.tokenOf(other)).toBeNull()
  })

  test('are bounded: the oldest has to log in again', () => {
    const sessions = createSessions(() => 0)
    const ids = Array.from({ length: 1_001 }, (_, index) => sessions.open(`token-${index}`))
    expect(sessions.tokenOf(ids[0] ?? '')).toBeNull()
    expect(sessions.tokenOf(ids[1] ?? '')).toBe('token-1')
    expect(sessions.tokenOf(ids.at(-1) ?? '')).toBe('token-1000')
  })
})

describe('the cookie', () => {
  test('is out of reach of scripts and of other sites, and stays on TLS where it began there', () => {
    const id = createSessions().open('token')
    expect(sessionCookie(id, false)).toMatch(/; HttpOnly; SameSite=Strict; Max-Age=\d+$/)
    expect(sessionCookie(id, true)).toMatch(/; Secure$/)
    expect(sessionCookie('', false)).toContain('Max-Age=0')
    expect(sessionIdOf(sessionCookie(id, true))).toBe(id)
  })

  test('over TLS is one that no other host and no page without TLS can have set, and goes before all others', () => {
    const id = createSessions().open('token')
    const cookie = sessionCookie(id, true)
    expect(cookie).toMatch(/^__Host-quotacast_session=[^;]+; Path=\/;/)
    expect(cookie).not.toContain('Domain')
    expect(sessionIdOf(`quotacast_session=${'A'.repeat(43)}; __Host-quotacast_session=${id}`)).toBe(id)
  })

  test('is found among others, and is nothing else', () => {
    const id = createSessions().open('token')
    expect(sessionIdOf(`theme=dark; quotacast_session=${id}; a=b`)).toBe(id)
    for (const cookies of [undefined, '', 'a=b', `xquotacast_session=${id}`, 'quotacast_session=short']) {
      expect(sessionIdOf(cookies)).toBeNull()
    }
  })
})
