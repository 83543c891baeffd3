import { expect, test, vi } from 'vitest'
import { hearWarnings } from '../../deploy/node-warnings.ts'

test('what Node warns of is heard once by whoever listens last, except what is known and means nothing', async () => {
  const [first, last] = [[] as string[], [] as string[]]
  hearWarnings((name, message) => first.push(`${name}: ${message}`))
  hearWarnings((name, message) => last.push(`${name}: ${message}`))
  process.emitWarning('-1 is a negative number.', 'TimeoutNegativeWarning')
  process.emitWarning('11 connect listeners added', 'MaxListenersExceededWarning')
  await vi.waitFor(() => expect(last).toEqual(['MaxListenersExceededWarning: 11 connect listeners added']))
  expect(first).toEqual([])
})
