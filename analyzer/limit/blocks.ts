/** Callers who may not pass at all: consumers, tenants, addresses and ranges of them. */
import { BlockList, isIP } from 'node:net'
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
  const ranges: { block: Block; holds: (address: string) => boolean }[] = []
  for (const block of blocks) {
    if (block.what === 'tenant') keepLonger(tenants, block)
    else if (block.what === 'consumer') keepLonger(consumers, block)
    else {
      const holds = holdsOf(block)
      if (holds !== null) ranges.push({ block, holds })
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
    if (clientIp === null || ranges.length === 0) return longest
    const address = withoutPort(clientIp)
    for (const { block, holds } of ranges) if (endOf(block) > untilMs && holds(address)) meet(block)
    return longest
  }
}

const endOf = ({ untilMs }: Block): number => untilMs ?? Number.POSITIVE_INFINITY

function keepLonger(blocks: Map<string, Block>, block: Block): void {
  const known = blocks.get(block.value)
  if (known === undefined || endOf(block) > endOf(known)) blocks.set(block.value, block)
}

/** Ranges of blocks that stay when another one changes: each takes 5 µs to make. */
const HOLDS = new WeakMap<Block, ReturnType<typeof rangeOf>>()

function holdsOf(block: Block): ReturnType<typeof rangeOf> {
  const known = HOLDS.get(block)
  if (known !== undefined) return known
  const made = rangeOf(block.value)
  HOLDS.set(block, made)
  return made
}

function rangeOf(value: string): ((address: string) => boolean) | null {
  const { address = '', bits } = RANGE.exec(value)?.groups ?? {}
  const version = isIP(address)
  if (version === 0) return null
  const family = version === 6 ? 'ipv6' : 'ipv4'
  const bitsMax = version === 6 ? 128 : 32
  const length = bits === undefined ? bitsMax : Number(bits)
  if (length > bitsMax) return null
  const list = new BlockList()
  list.addSubnet(address, length, family)
  return asked => {
    const askedVersion = isIP(asked)
    return askedVersion !== 0 && list.check(asked, askedVersion === 6 ? 'ipv6' : 'ipv4')
  }
}

/** Some balancers write the port behind the address: `203.0.113.9:4711`, `[2001:db8::1]:4711`. */
function withoutPort(address: string): string {
  const [, within, alone] = /^\[([^\]]+)\](?::\d+)?$|^([^:]+):\d+$/.exec(address) ?? []
  return within ?? alone ?? address
}
