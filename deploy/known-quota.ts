import { UsageError } from './command.ts'
import type { Config } from './config-schema.ts'
import { readListed } from './listed.ts'

const NAMES_MAX = 20

/** Of a quota that nobody knows there is nothing to tell, which sounds like good news. Throws `UsageError`. */
export async function assertQuotaIsKnown(quota: string, config: Config): Promise<void> {
  const names: string[] = []
  for await (const { key } of readListed('quotas', config)) names.push(key)
  if (names.includes(quota)) return
  const more = names.length > NAMES_MAX ? `, and ${names.length - NAMES_MAX} more` : ''
  const known = names.length === 0 ? 'there are none' : `known are ${names.slice(0, NAMES_MAX).join(', ')}${more}`
  throw new UsageError(`there is no quota ${quota}; ${known}`)
}
