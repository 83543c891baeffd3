import { expect, test } from 'vitest'
import { loggedError } from '../../deploy/logged-error.ts'

test('an error is logged with its causes and its code', () => {
  const error = Object.assign(new Error('outer', { cause: new Error('inner') }), { code: 'E', retryable: true })
  expect(loggedError(error)).toMatchObject({ type: 'Error', message: 'outer: inner', code: 'E', retryable: true })
  expect(loggedError(new AggregateError([new Error('one')], 'all'))).toMatchObject({
    aggregateErrors: [{ message: 'one' }],
  })
  expect(loggedError('text')).toBe('text')
})

test.each([
  ['the command that failed', Object.assign(new Error('WRONGPASS'), { command: { name: 'auth', args: ['hunter2'] } })],
  ['its list of arguments', Object.assign(new Error('refused'), { args: ['hunter2'] })],
  ['an address', new TypeError('the URL includes credentials: http://me:hunter2@host/path')],
  ['the address of a cause', new Error('away', { cause: new Error('no redis://:hunter2@host') })],
  ['one of several', new AggregateError([Object.assign(new Error('a'), { options: { password: 'hunter2' } })])],
  ['a header', new Error('bad value Bearer hunter2hunter2')],
])('and without a secret in %s', (_, error) => {
  const logged = JSON.stringify(loggedError(error))
  expect(logged).toContain(error.name)
  expect(logged).not.toContain('hunter2')
})
