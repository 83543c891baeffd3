import { expect, test } from 'vitest'
import { createGatewayLinks } from '../../../analyzer/limit/gateway-links.ts'

const HOUR_MS = 3_600_000

function open() {
  const clock = { nowMs: 0 }
  const links = createGatewayLinks(() => clock.nowMs)
  const names = () => links.unlinked().map(({ gateway }) => gateway)
  return { clock, links, names }
}

test('a gateway that hands its ids on since two hours is named no more, nor is one that is gone', () => {
  const { clock, links, names } = open()
  for (const gateway of ['mended', 'gone', 'other']) {
    links.checked(gateway)
    links.recordedWithoutId(gateway)
  }
  for (let hour = 1; hour <= 2; hour++) {
    expect(names()).toEqual(['mended', 'gone', 'other'])
    clock.nowMs = hour * HOUR_MS
    links.checked('mended')
    links.recordedWithoutId('other')
    links.checked('other')
  }
  expect(links.unlinked()).toMatchObject([{ gateway: 'other', checks: 2, recordsWithoutId: 2 }])
  clock.nowMs = 5 * HOUR_MS
  expect(names()).toEqual([])
})

test('gateways that are gone make room for those that come', () => {
  const { clock, links, names } = open()
  const live = (gateway: string) => {
    links.checked(gateway)
    links.recordedWithoutId(gateway)
  }
  for (let pod = 0; pod < 1_000; pod++) live(`pod-${pod}`)
  clock.nowMs = HOUR_MS
  for (let call = 0; call < 2; call++) live('pod-1000')
  expect(names()).toContain('pod-1000')
})
