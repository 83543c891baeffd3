/** Client addresses, kept no more exactly than the config allows. */
import { isIPv4, isIPv6 } from 'node:net'
import Type, { type Static } from 'typebox'

export const ClientIpPolicy = Type.Enum(['full', 'truncated', 'hashed', 'dropped'], {
  default: 'truncated',
  description: 'How client addresses are kept; truncated is to /24 (IPv4) or /48 (IPv6).',
})
export type ClientIpPolicy = Static<typeof ClientIpPolicy>

const IPV4_BYTES_KEPT = 3
const IPV6_GROUPS = 8
const IPV6_GROUPS_KEPT = 3

/**
 * The address under the policy. Lists as in `X-Forwarded-For` give their first address, ports are dropped; what is no
 * address at all is `null`, since it could be anything.
 */
export function clientIpOf(
  text: string,
  policy: ClientIpPolicy,
  fingerprint: (address: string) => string,
): string | null {
  if (policy === 'dropped') return null
  const address = addressOf(text)
  if (address === null) return null
  switch (policy) {
    case 'full':
      return address
    case 'truncated':
      return isIPv4(address) ? truncatedIPv4(address) : truncatedIPv6(address)
    case 'hashed':
      return fingerprint(address)
  }
}

function addressOf(text: string): string | null {
  const first = text.split(',', 1)[0]?.trim().toLowerCase() ?? ''
  const bare = /^\[([^\]]*)\](?::\d+)?$/.exec(first)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(first)?.[1] ?? first
  const unzoned = bare.split('%', 1)[0] ?? ''
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(unzoned)?.[1] ?? unzoned
  return isIPv4(mapped) || isIPv6(mapped) ? mapped : null
}

const truncatedIPv4 = (address: string) => `${address.split('.').slice(0, IPV4_BYTES_KEPT).join('.')}.0`

function truncatedIPv6(address: string): string {
  const [head = '', tail] = address.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : IPV6_GROUPS - before.length - after.length
  const groups = [...before, ...Array.from({ length: Math.max(0, zeros) }, () => '0'), ...after]
  const kept = groups.slice(0, IPV6_GROUPS_KEPT).map(group => group.replace(/^0+(?=.)/, ''))
  return `${kept.join(':')}::`
}
