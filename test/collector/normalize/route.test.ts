import { expect, test } from 'vitest'
import { TEXT_CHARACTERS_MAX } from '../../../collector/call-record.ts'
import {
  createRouteBook,
  OTHER_ROUTES,
  ROUTES_MAX,
  ROUTES_PER_SERVICE_MAX,
  routeOf,
} from '../../../collector/normalize/route.ts'
import { createRoutePatterns } from '../../../collector/normalize/route-patterns.ts'

const NONE = createRoutePatterns([])

test.each([
  ['/v1/chat/completions', '/v1/chat/completions'],
  ['/users/42?token=x#top', '/users/{id}'],
  ['/v1;jsessionid=abc/chat;api_key=abc', '/v1/chat'],
  ['/v1/chat%3Fapi_key=abc', '/v1/chat'],
  // The same path, as whoever serves it reads it (RFC 3986 section 6.2.2): no limit of a route is escaped from.
  ['/v1/%63hat/c%6Fmpletions%2D%7E', '/v1/chat/completions-~'],
  ['/v1/./models/../chat/%2e%2E/chat/.', '/v1/chat/'],
  ['/../v1/chat/x/..', '/v1/chat/'],
  ['//v1///chat//?x=//', '/v1/chat/'],
  ['https://gw.example/v1//chat', 'https://gw.example/v1/chat'],
  ['/x://../v1/chat', '/v1/chat'],
  // Servers that unescape a path before they look for its handler, such as those of Python and PHP, take it for a slash.
  ['/v1%2fchat%2Fcompletions', '/v1/chat/completions'],
  ['/x%2f..%2fv1%2F%2fchat', '/v1/chat'],
  ['/files/a%2Fb%20c%25.txt', '/files/a/b%20c%25.txt'],
  ['/files/...', '/files/...'],
  ['/users/0f8fad5b-d9cb-469f-a165-70867728950e/orders', '/users/{id}/orders'],
  ['/commits/9fceb02d0ae598e95dc970b74767f19372d61af8', '/commits/{id}'],
  ['/customers/cus_9s6XKzkNRiz8i3', '/customers/{id}'],
  ['/mail/jane@example.com', '/mail/{id}'],
  [
    '/model/anthropic.claude-3-5-sonnet-20241022-v1:0/invoke',
    '/model/anthropic.claude-3-5-sonnet-20241022-v1:0/invoke',
  ],
  ['/openai/deployments/gpt-4o-2024-08-06/chat', '/openai/deployments/gpt-4o-2024-08-06/chat'],
  ['/users/{userId}/42', '/users/{userId}/42'],
  ['/users/:id', '/users/:id'],
  ['/feedbeef/decade', '/feedbeef/decade'],
])('%s is the route %s', (path, route) => {
  expect(routeOf(path, '', NONE)).toBe(route)
})

test('routes and services that were not shown for a day or two make room for others', () => {
  const DAY_MS = 86_400_000
  let nowMs = 0
  const routes = createRouteBook(NONE, () => nowMs)
  for (let index = 0; index < ROUTES_PER_SERVICE_MAX; index++) {
    routes.route(`/probe-${index}/x`, 'shop')
    routes.route('/one', `pod-${index}`)
  }
  for (; nowMs < 2 * DAY_MS; nowMs += DAY_MS / 4) {
    expect(routes.route('/probe-0/x', 'shop')).toBe('/probe-0/x')
    expect(routes.route('/new', 'shop')).toBe(OTHER_ROUTES)
  }
  for (const route of ['/probe-0/x', '/new']) expect(routes.route(route, 'shop')).toBe(route)
  for (let index = 2; index < ROUTES_PER_SERVICE_MAX; index++) routes.route(`/page-${index}/x`, 'shop')
  expect(routes.route('/one-more', 'shop')).toBe(OTHER_ROUTES)
  for (let index = 0; index < ROUTES_PER_SERVICE_MAX; index++) routes.route(`/page-${index}/x`, 'new')
  expect(routes.route('/one-more', 'new')).toBe(OTHER_ROUTES)
  expect(routes.route('/one-more', 'other')).toBe('/one-more')
})

test('all routes together have a bound from day to day, too', () => {
  let nowMs = 0
  const routes = createRouteBook(NONE, () => nowMs)
  const show = (day: number, count: number) => {
    let shown = 0
    for (let index = 0; index < count; index++) {
      const service = `service-${Math.floor(index / ROUTES_PER_SERVICE_MAX)}`
      if (routes.route(`/day-${day}-${index}/x`, service) !== OTHER_ROUTES) shown++
    }
    return shown
  }
  expect(show(0, ROUTES_MAX)).toBe(ROUTES_MAX)
  nowMs = 86_400_000
  expect(show(0, ROUTES_MAX / 2)).toBe(ROUTES_MAX / 2)
  expect(show(1, ROUTES_PER_SERVICE_MAX)).toBe(0)
  nowMs *= 2
  expect(show(1, ROUTES_MAX)).toBe(ROUTES_MAX / 2)
})

test('a service shows no more routes than its bound, others are not affected', () => {
  const routes = createRouteBook(NONE)
  for (let index = 0; index < ROUTES_PER_SERVICE_MAX; index++) routes.route(`/page-${index}/x`, 'shop')
  expect(routes.route('/one-more', 'shop')).toBe(OTHER_ROUTES)
  expect(routes.route('/page-7/x', 'shop')).toBe('/page-7/x')
  expect(routes.route('/one-more', 'other')).toBe('/one-more')
})

test('services beyond the bound share one, so that made-up names show no more routes either', () => {
  const routes = createRouteBook(NONE)
  const shown = new Set<string>()
  for (let index = 0; index < 3 * ROUTES_PER_SERVICE_MAX; index++) {
    shown.add(routes.route(`/page-${index}/x`, `service-${index}`))
  }
  expect(shown.size).toBe(2 * ROUTES_PER_SERVICE_MAX + 1)
  expect(routes.route('/page-0/x', 'service-0')).toBe('/page-0/x')
})

test('all services together show no more routes than fit into memory', () => {
  const routes = createRouteBook(NONE)
  let shown = 0
  for (let service = 0; shown < 2 * ROUTES_MAX; service++) {
    for (let index = 0; index < ROUTES_PER_SERVICE_MAX; index++, shown++) {
      const route = routes.route(`/of-${service}/page-${index}/x`, `service-${service}`)
      expect(route === OTHER_ROUTES).toBe(shown >= ROUTES_MAX)
    }
  }
  expect(routes.route('/of-0/page-0/x', 'service-0')).toBe('/of-0/page-0/x')
})

test('a path too long for a record takes no place, one that its ids made long does', () => {
  const routes = createRouteBook(NONE)
  const long = 'x-'.repeat(TEXT_CHARACTERS_MAX)
  for (let index = 0; index < ROUTES_PER_SERVICE_MAX; index++) routes.route(`/a/b${index}/`.padEnd(1000, '/x'), 'shop')
  expect(routes.route(`/users/${long}`, 'shop')).toBe('/users/{id}')
})

test('a pattern holds against guessed ids, for its service, and is never one of too many', () => {
  const routes = createRouteBook(
    createRoutePatterns([{ pattern: '/users/{name}/card', service: 'shop' }, { pattern: '/files/**' }]),
  )
  expect(routes.route('/users/jane/card?x=1', 'shop')).toBe('/users/{name}/card')
  expect(routes.route('/users/jane/card', 'other')).toBe('/users/jane/card')
  expect(routes.route('/files/2024/a.txt', 'other')).toBe('/files/**')
  expect(routes.route('/users/42', 'shop')).toBe('/users/{id}')
  for (let index = 0; index < ROUTES_PER_SERVICE_MAX; index++) routes.route(`/page-${index}/x`, 'shop')
  expect(routes.route('/page-x/x', 'shop')).toBe(OTHER_ROUTES)
  expect(routes.route('/users/joe/card', 'shop')).toBe('/users/{name}/card')
})

test('a slash that is escaped is one, or part of the segment that a pattern leaves open', () => {
  const patterns = createRoutePatterns([{ pattern: '/projects/{project}/issues' }])
  expect(routeOf('/projects/group%2Fproject/issues', '', patterns)).toBe('/projects/{project}/issues')
  expect(routeOf('/projects%2Fproject%2fissues', '', patterns)).toBe('/projects/{project}/issues')
})

test('a pattern holds for whatever a client writes into its open part', () => {
  const patterns = createRoutePatterns([{ pattern: '/users/{name}/card' }, { pattern: '/files/**' }])
  for (const name of ['ja{ne', 'ja*ne', ':jane'])
    expect(routeOf(`/users/${name}/card`, '', patterns)).toBe('/users/{name}/card')
  expect(routeOf('/files/2024/*', '', patterns)).toBe('/files/**')
  expect(routeOf('/orders/{order}', '', patterns)).toBe('/orders/{order}')
})
