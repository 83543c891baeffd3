const PARTS = ['limit', 'remaining', 'reset']
const NAMES: readonly ((part: string) => string)[] = [
  part => `x-ratelimit-${part}-requests`,
  part => `x-ratelimit-${part}-tokens`,
  part => `anthropic-ratelimit-requests-${part}`,
  part => `anthropic-ratelimit-tokens-${part}`,
  part => `x-ratelimit-${part}`,
]

/** On denials of Quotacast's own, which are the gateway's (`limited`) and not the upstream's. */
export const DENIED_HEADER = 'x-quotacast-denied'

/** Rate-limit headers that are worth logging: of OpenAI and those like it, of Anthropic, of everybody else. */
export const LIMIT_HEADERS: readonly string[] = ['retry-after', ...NAMES.flatMap(nameOf => PARTS.map(nameOf))]

/** The variables of nginx that hold them. */
export const LIMIT_VARIABLES: readonly string[] = LIMIT_HEADERS.map(
  name => `upstream_http_${name.replaceAll('-', '_')}`,
)
