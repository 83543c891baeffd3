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
/** A route that was not shown in so long, nor in as long before, makes room: probes of paths that never were fill any bound. */
const HALF_MS = 86_400_000
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

/** Many servers, nginx and Apache among them, serve several as one; not those of `https://`. */
const SLASHES = /(?<!^[a-z]+:)\/{2,}/gi
const ESCAPED_SLASHES = /%2f/gi

/** Of what means the same without (RFC 3986 section 2.3). */
const NEEDLESS_ESCAPES = /%(?:2[de]|3\d|[46][1-9a-f]|[57][\da]|5f|7e)/gi

/** Clients may write a path in many ways, of which gateways log and hand on whichever they wrote. */
function pathOf(pathOrTemplate: string): string {
  const end = pathOrTemplate.search(QUERY)
  const raw = end < 0 ? pathOrTemplate : pathOrTemplate.slice(0, end)
  const whole = raw.includes(';') ? raw.replace(PATH_PARAMETERS, '') : raw
  const path = whole.includes('%') ? whole.replace(NEEDLESS_ESCAPES, decodeURIComponent) : whole
  const one = path.includes('//') ? path.replace(SLASHES, '/') : path
  return one.includes('/.') ? withoutDots(one) : one
}

/** RFC 3986 section 5.2.4. */
function withoutDots(path: string): string {
  const kept: string[] = []
  const segments = path.split('/')
  for (const [index, segment] of segments.entries()) {
    const isDots = segment === '.' || segment === '..'
    if (segment === '..' && kept.length > 1) kept.pop()
    if (!isDots) kept.push(segment)
    else if (index === segments.length - 1) kept.push('')
  }
  return kept.join('/')
}

/** The path without query, parameters and fragment, as its pattern or with ids replaced; other templates are kept. */
export function routeOf(pathOrTemplate: string, service: string, patterns: RoutePatterns): string {
  const path = pathOf(pathOrTemplate)
  const served = unescaped(path)
  const pattern = patterns.find(served, service) ?? (served === path ? null : patterns.find(path, service))
  return pattern ?? (TEMPLATE.test(served) ? served : withIdsReplaced(served))
}

/** Many servers look for the handler of a path when nothing in it is escaped any more; others keep such a slash in its segment. */
const unescaped = (path: string) => (path.includes('%') ? pathOf(path.replace(ESCAPED_SLASHES, '/')) : path)

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

export function createRouteBook(patterns: RoutePatterns, now = () => performance.now()): RouteBook {
  const remembered = new Map<string, string>()
  const shown = createShownRoutes(now)
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
  return {
    route(pathOrTemplate, service) {
      const path = pathOf(pathOrTemplate)
      // No record may hold a longer one, so it is not worth its memory.
      const isLong = path.length > TEXT_CHARACTERS_MAX
      const route = isLong ? routeOf(path, service, patterns) : remember(path, service)
      if (route.length > TEXT_CHARACTERS_MAX || patterns.has(route)) return route
      return shown.show(route, service) ? route : OTHER_ROUTES
    },
  }
}

type Half = Map<string | null, Set<string>>
const NO_ROUTES: ReadonlySet<string> = new Set()

/** What was shown lately: in this half of the time, and not again since the one before. */
function createShownRoutes(now: () => number) {
  let recent: Half = new Map()
  let older: Half = new Map()
  let routeCount = 0
  let serviceCount = 0
  let sinceMs = now()
  const turn = () => {
    for (const routes of older.values()) routeCount -= routes.size
    older = recent
    recent = new Map()
    serviceCount = older.size
    sinceMs = now()
  }
  const seenOf = (name: string | null) => {
    const known = recent.get(name)
    if (known !== undefined) return known
    const fresh = new Set<string>()
    recent.set(name, fresh)
    if (!older.has(name)) serviceCount++
    return fresh
  }
  return {
    /** False where there is no room for it. */
    show(route: string, service: string): boolean {
      if (now() - sinceMs >= HALF_MS) turn()
      const isKnown = recent.has(service) || older.has(service)
      // All beyond `SERVICES_MAX` are one.
      const name = isKnown || serviceCount < SERVICES_MAX ? service : null
      const seen = seenOf(name)
      if (seen.has(route)) return true
      const before = older.get(name)
      if (before?.delete(route) !== true) {
        const ofService = seen.size + (before ?? NO_ROUTES).size
        if (ofService >= ROUTES_PER_SERVICE_MAX || routeCount >= ROUTES_MAX) return false
        routeCount++
      }
      seen.add(route)
      return true
    },
  }
}
