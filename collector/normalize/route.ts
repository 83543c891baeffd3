/**
 * Routes from paths. A gateway that knows the route's template says so; else ids in the path become `{id}`, and a service
 * that still shows more routes than a quota or a panel could ever name has the rest folded into one.
 */
import { TEXT_CHARACTERS_MAX } from '../call-record.ts'
import type { RoutePatterns } from './route-patterns.ts'

const ID = '{id}'
/** Every further route of a service that has shown `ROUTES_PER_SERVICE_MAX`. */
export const OTHER_ROUTES = '{other}'
export const ROUTES_PER_SERVICE_MAX = 1000
const SERVICES_MAX = 1000
/** Of all services: the longest ones take 60 MB. */
export const ROUTES_MAX = 100_000
const SEGMENT_CHARACTERS_MAX = 64
/** Paths whose route is remembered. */
const REMEMBERED_MAX = 20_000

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i
const DIGITS = /^\d+$/
const HEX = /^(?=.*\d)[0-9a-f]{8,}$/i
/** Letters and digits in one run, as in `cus_9s6XKzkNRiz8i3`; model names such as `gpt-4o-2024-08-06` have none so long. */
const MIXED_RUN = /(?:^|[^A-Za-z0-9])(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{12,}(?:$|[^A-Za-z0-9])/
const TEMPLATE = /[{*]|\/:/

const isId = (segment: string) =>
  segment.length > SEGMENT_CHARACTERS_MAX ||
  DIGITS.test(segment) ||
  UUID.test(segment) ||
  HEX.test(segment) ||
  MIXED_RUN.test(segment) ||
  segment.includes('@') ||
  segment.includes('%40')

const QUERY = /[?#]|%3f/i
/** RFC 3986 section 3.3: of one segment, such as `;jsessionid=…`. */
const PATH_PARAMETERS = /;[^/]*/g

function withoutQuery(pathOrTemplate: string): string {
  const end = pathOrTemplate.search(QUERY)
  const path = end < 0 ? pathOrTemplate : pathOrTemplate.slice(0, end)
  return path.includes(';') ? path.replace(PATH_PARAMETERS, '') : path
}

/** The path without query, parameters and fragment, as its pattern or with ids replaced; a template is kept as it is. */
export function routeOf(pathOrTemplate: string, service: string, patterns: RoutePatterns): string {
  const path = withoutQuery(pathOrTemplate)
  if (TEMPLATE.test(path)) return path
  return patterns.find(path, service) ?? withIdsReplaced(path)
}

const withIdsReplaced = (path: string) =>
  path
    .split('/')
    .map(segment => (isId(segment) ? ID : segment))
    .join('/')

/** Routes of this process, bounded per service. */
export interface RouteBook {
  /** The route to record for a path or template of a service, whose name a record can hold. */
  route(pathOrTemplate: string, service: string): string
}

export function createRouteBook(patterns: RoutePatterns): RouteBook {
  const remembered = new Map<string, string>()
  const routesByService = new Map<string, Set<string>>()
  /** Of all services beyond `SERVICES_MAX`. */
  const otherRoutes = new Set<string>()
  let routeCount = 0
  const remember = (path: string, service: string) => {
    const scope = patterns.scopeOf(service)
    const key = scope === '' ? path : `${scope}\n${path}`
    const known = remembered.get(key)
    if (known !== undefined) return known
    // Copies, because a slice keeps the text that it was cut from, the query included.
    const route = Buffer.from(routeOf(path, service, patterns)).toString()
    if (remembered.size >= REMEMBERED_MAX) remembered.clear()
    remembered.set(Buffer.from(key).toString(), route)
    return route
  }
  const seenOf = (service: string) => {
    const seen = routesByService.get(service)
    if (seen !== undefined) return seen
    if (routesByService.size >= SERVICES_MAX) return otherRoutes
    const fresh = new Set<string>()
    routesByService.set(service, fresh)
    return fresh
  }
  return {
    route(pathOrTemplate, service) {
      const path = withoutQuery(pathOrTemplate)
      // No record may hold a longer one, so it is not worth its memory.
      const isLong = path.length > TEXT_CHARACTERS_MAX
      const route = isLong ? routeOf(path, service, patterns) : remember(path, service)
      if (route.length > TEXT_CHARACTERS_MAX || patterns.has(route)) return route
      const seen = seenOf(service)
      if (seen.has(route)) return route
      if (seen.size >= ROUTES_PER_SERVICE_MAX || routeCount >= ROUTES_MAX) return OTHER_ROUTES
      seen.add(route)
      routeCount++
      return route
    },
  }
}
