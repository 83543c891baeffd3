/** Callers who may not pass at all: consumers, tenants, addresses and ranges of them. */
import { isIP } from 'node:net'
import type { Block } from '../policy/adjustment.ts'

/** The block that a caller is under, of several the one that lasts longest; `null` for none. */
export type FindBlock = (caller: {
  tenant: string | null
  consumer: string | null
  clientIp: string | null
  nowMs: number
}) => Block | null

const RANGE = /^(?<address>[^/]+)(?:\/(?<bits>\d{1,3}))?$/

/** True for an address, or a range such as `203.0.113.0/24`. */
export const isAddressRange = (value: string): boolean => rangeOf(value) !== null

/** What is no address or range blocks nobody. */
export function createBlocks(blocks: readonly Block[]): FindBlock {
  if (blocks.length === 0) return () => null
  const tenants = new Map<string, Block>()
  const consumers = new Map<string, Block>()
  /** By how many bits follow the prefix, then by that: as many look-ups as there are lengths, however many blocks. */
  const ranges = new Map<bigint, Map<bigint, Block>>()
  for (const block of blocks) {
    if (block.what === 'tenant') keepLonger(tenants, block.value, block)
    else if (block.what === 'consumer') keepLonger(consumers, block.value, block)
    else {
      const range = keptRangeOf(block)
      if (range === null) continue
      const byPrefix = ranges.get(range.rest) ?? new Map<bigint, Block>()
      ranges.set(range.rest, byPrefix)
      keepLonger(byPrefix, range.prefix, block)
    }
  }
  return ({ tenant, consumer, clientIp, nowMs }) => {
    let longest: Block | null = null
    let untilMs = nowMs
    const meet = (block: Block | undefined) => {
      if (block === undefined || endOf(block) <= untilMs) return
      longest = block
      untilMs = endOf(block)
    }
    meet(tenants.get(tenant ?? ''))
    meet(consumers.get(consumer ?? ''))
    const address = clientIp === null || ranges.size === 0 ? null : bitsOf(withoutPort(clientIp))
    if (address !== null) for (const [rest, byPrefix] of ranges) meet(byPrefix.get(address >> rest))
    return longest
  }
}

const endOf = ({ untilMs }: Block): number => untilMs ?? Number.POSITIVE_INFINITY

function keepLonger<K>(blocks: Map<K, Block>, key: K, block: Block): void {
  const known = blocks.get(key)
  if (known === undefined || endOf(block) > endOf(known)) blocks.set(key, block)
}

/** Of blocks that stay when another one changes. */
const RANGES = new WeakMap<Block, Range | null>()

function keptRangeOf(block: Block): Range | null {
  const known = RANGES.get(block)
  if (known !== undefined) return known
  const made = rangeOf(block.value)
  RANGES.set(block, made)
  return made
}

/** The addresses that begin with these bits. */
interface Range {
  /** How many bits of an address follow them. */
  readonly rest: bigint
  readonly prefix: bigint
}

function rangeOf(value: string): Range | null {
  const { address = '', bits } = RANGE.exec(value)?.groups ?? {}
  const whole = bitsOf(address)
  const bitsMax = isIP(address) === 6 ? 128 : 32
  const length = bits === undefined ? bitsMax : Number(bits)
  if (whole === null || length > bitsMax) return null
  const rest = BigInt(bitsMax - length)
  return { rest, prefix: whole >> rest }
}

const GROUPS = 8
/** What stands before the 32 bits of an address of version 4 where one of version 6 stands for it. */
const MAPPED = 'ffff'

/** The 128 bits of an address; `null` for what is none. */
function bitsOf(address: string): bigint | null {
  const version = isIP(address)
  if (version === 0) return null
  const groups = version === 4 ? [MAPPED, ...pairsOf(address)] : groupsOf(address)
  return BigInt(`0x${groups.map(group => group.padStart(4, '0')).join('')}`)
}

/** As `2001:db8::1`, `::ffff:203.0.113.9` or `fe80::1%eth0` has them, with those that `::` stands for. */
function groupsOf(address: string): string[] {
  const [text = ''] = address.split('%')
  const [left = [], right = []] = text.split('::').map(side => side.split(':').filter(Boolean).flatMap(pairsOf))
  return [...left, ...Array<string>(GROUPS - left.length - right.length).fill('0'), ...right]
}

/** The two groups of an address of version 4, which may stand at the end of one of version 6; else the group as it is. */
function pairsOf(text: string): string[] {
  if (!text.includes('.')) return [text]
  const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number)
  return [((a << 8) | b).toString(16), ((c << 8) | d).toString(16)]
}

/** Some balancers write the port behind the address: `203.0.113.9:4711`, `[2001:db8::1]:4711`. */
function withoutPort(address: string): string {
  const [, within, alone] = /^\[([^\]]+)\](?::\d+)?$|^([^:]+):\d+$/.exec(address) ?? []
  return within ?? alone ?? address
}
