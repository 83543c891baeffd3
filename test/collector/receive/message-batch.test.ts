import { describe, expect, test } from 'vitest'
import type { Dialect } from '../../../collector/normalize/draft.ts'
import { messageBatches, messageReader } from '../../../collector/receive/message-batch.ts'
import { callLine, sourceOf } from './listening.ts'

const messagesOf = (values: readonly (string | Buffer | null)[]) =>
  values.map((value, index) => ({
    offset: String(100 + index),
    value: typeof value === 'string' ? Buffer.from(value) : value,
  }))

function placesOf(
  values: readonly (string | Buffer | null)[],
  source = sourceOf(),
  format: 'text' | 'otlp_logs' = 'text',
) {
  return messageBatches(messagesOf(values), messageReader(source, format)).flatMap(({ batch }) =>
    Array.from({ length: batch.size }, (_, position) => [batch.placeAt(position), batch.decodedAt(position).kind]),
  )
}

describe('inputs', () => {
  test('are named by the message and their place in it', () => {
    const values = [callLine(0), null, `[${callLine(1)},${callLine(2)}]`, '', `${callLine(3)}\n\nbad`]
    expect(placesOf(values)).toEqual([
      ...[
        ['100 0', 'draft'],
        ['102 0', 'draft'],
        ['102 1', 'draft'],
      ],
      ...[
        ['104 0', 'draft'],
        ['104 1', 'refusal'],
      ],
    ])
  })

  test('that are too many, or no request, cost their own message alone', () => {
    const many = `[${'0,'.repeat(100_000)}0]`
    expect(placesOf([many, callLine(0)])).toEqual([
      ['100 0', 'refusal'],
      ['101 0', 'draft'],
    ])
    expect(placesOf([Buffer.from([0xff])], sourceOf(), 'otlp_logs')).toEqual([['100 0', 'refusal']])
  })

  test('that cannot be read are not kept where they may hold a secret', () => {
    const dialect = { ...sourceOf().dialect, hasUnnamedSecrets: true }
    const [found] = messageBatches(
      messagesOf([Buffer.from([0xff])]),
      messageReader(sourceOf('canonical', { dialect }), 'otlp_logs'),
    )
    expect(found?.batch.decodedAt(0)).toMatchObject({ kind: 'refusal', isInputSecret: true })
  })
})

test('messages whose first lines name other columns are kept with their own', () => {
  const values = ['at,tokens\n1,2\nx', 'tokens,at\n2,1\nx']
  const found = messageBatches(messagesOf(values), messageReader(sourceOf('plain'), 'text'))
  expect(found.map(({ batch }) => batch.context.columns)).toEqual([
    ['at', 'tokens'],
    ['tokens', 'at'],
  ])
})

test('a dialect is opened once, not for each message', () => {
  let opened = 0
  const { dialect } = sourceOf()
  const counting: Dialect = {
    ...dialect,
    open(context) {
      opened++
      return dialect.open(context)
    },
  }
  const values = Array.from({ length: 10 }, (_, index) => callLine(index))
  expect(placesOf(values, sourceOf('canonical', { dialect: counting }))).toHaveLength(10)
  expect(opened).toBe(1)
})
