/** The config section `collector.routes`: routes that somebody knows better than the ids in a path tell. */
import Type, { type Static } from 'typebox'

const PATTERNS_MAX = 1000
const PART = String.raw`[^/*{}?#\s]*`
const PATTERN = String.raw`^(?:/${PART}(?:(?:\{[\w-]+\}|\*)${PART})?)*(?:/\*\*)?$`

export const RoutePatternOptions = Type.Array(
  Type.Object(
    {
      pattern: Type.String({
        minLength: 1,
        maxLength: 512,
        pattern: PATTERN,
        description:
          'The route to record, and the paths that it stands for: `{name}` or `*` is something within a segment, `/**` ' +
          'at the end is everything below.',
      }),
      service: Type.Optional(
        Type.String({ minLength: 1, maxLength: 512, description: 'Only for this service; absent: for all.' }),
      ),
    },
    { additionalProperties: false },
  ),
  {
    default: [],
    maxItems: PATTERNS_MAX,
    description: 'Routes instead of those that are guessed by replacing ids; the first that fits holds.',
  },
)
export type RoutePatternOptions = Static<typeof RoutePatternOptions>

export interface RoutePatterns {
  /** The first pattern that a path fits, those of its service before those for all; `null` where none does. */
  find(path: string, service: string): string | null
  /** Services with patterns of their own are their own scope, all others are the scope ''. */
  scopeOf(service: string): string
  /** True for a route that is a pattern. */
  has(route: string): boolean
}

interface Segment {
  /** What it begins with, and all of it where nothing is open. */
  begin: string
  /** What follows the open part; `null` where there is none. */
  end: string | null
}

interface Pattern {
  route: string
  segments: readonly Segment[]
  /** Matches whatever is below. */
  isOpen: boolean
}

const REST = '/**'

export function createRoutePatterns(options: RoutePatternOptions): RoutePatterns {
  const forAll: Pattern[] = []
  const byService = new Map<string, Pattern[]>()
  for (const { pattern, service } of options) {
    const parsed = parsePattern(pattern)
    if (service === undefined) forAll.push(parsed)
    else byService.set(service, [...(byService.get(service) ?? []), parsed])
  }
  const routes = new Set(options.map(({ pattern }) => pattern))
  return {
    find(path, service) {
      if (routes.size === 0) return null
      const segments = path.split('/')
      const fits = (pattern: Pattern) => isMatch(pattern, segments)
      return (byService.get(service)?.find(fits) ?? forAll.find(fits))?.route ?? null
    },
    scopeOf: service => (byService.has(service) ? service : ''),
    has: route => routes.has(route),
  }
}

function parsePattern(route: string): Pattern {
  const isOpen = route.endsWith(REST)
  const text = isOpen ? route.slice(0, -REST.length) : route
  const segments = text.split('/').map((segment): Segment => {
    const [begin = '', end = null] = segment.split(/\{[^}]*\}|\*/)
    return { begin, end }
  })
  return { route, segments, isOpen }
}

function isMatch({ segments, isOpen }: Pattern, path: readonly string[]): boolean {
  if (isOpen ? path.length < segments.length : path.length !== segments.length) return false
  return segments.every(({ begin, end }, index) => {
    const segment = path[index] ?? ''
    if (end === null) return segment === begin
    return segment.length > begin.length + end.length && segment.startsWith(begin) && segment.endsWith(end)
  })
}
