import { expect, test } from 'vitest'
import { descriptorProblems } from '../../../../analyzer/limit/grpc/descriptors.ts'

test('what a descriptor can say is a dimension, a configured label, an address or a request id', () => {
  const options = Object.fromEntries(
    ['model', 'team', 'client_ip', 'request_id', 'tenant', 'modle', 'other'].map(dimension => [
      `of_${dimension}`,
      { dimension, record: false },
    ]),
  )
  const problems = descriptorProblems({ ...options, marked: { record: true } }, ['team'])
  expect(problems.map(problem => problem.split(':')[0])).toEqual(
    ['tenant', 'modle', 'other'].map(name => `limiter.grpc.descriptors.of_${name}.dimension`),
  )
})
