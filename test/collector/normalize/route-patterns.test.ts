import { Compile } from 'typebox/compile'
import { expect, test } from 'vitest'
import { createRoutePatterns, RoutePatternOptions } from '../../../collector/normalize/route-patterns.ts'

const options = Compile(RoutePatternOptions)

test.each([
  ['/users/{name}', '/users/jane', true],
  ['/users/{name}', '/users/', false],
  ['/users/{name}', '/users/jane/card', false],
  ['/users/*/card', '/users/jane/card', true],
  ['/models/{model}:generate', '/models/gemini-pro:generate', true],
  ['/models/{model}:generate', '/models/:generate', false],
  ['/models/{model}:generate', '/models/gemini-pro:stream', false],
  ['/files/**', '/files/a/b/c', true],
  ['/files/**', '/files', true],
  ['/files/**', '/filesystem', false],
  ['/**', '/whatever/there/is', true],
  ['/v1.0/x', '/v1a0/x', false],
])('%s and %s: %s', (pattern, path, isMatch) => {
  expect(options.Check([{ pattern }])).toBe(true)
  expect(createRoutePatterns([{ pattern }]).find(path, 'any')).toBe(isMatch ? pattern : null)
})

test.each(['users', '/users?x', '/{a}{b}', '/**/x', '/a b', '/{', '/x{}'])('%s is no pattern', pattern => {
  expect(options.Check([{ pattern }])).toBe(false)
})

test("a service's own patterns come before those for all", () => {
  const patterns = createRoutePatterns([{ pattern: '/a/*' }, { pattern: '/a/{id}', service: 'shop' }])
  expect([patterns.find('/a/x', 'shop'), patterns.find('/a/x', 'other')]).toEqual(['/a/{id}', '/a/*'])
})
