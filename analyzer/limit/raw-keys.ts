/** Raw keys that a gateway hands on as they are, where call records have fingerprints. Who calls has one by the doors. */
import type { Identity } from '../../collector/identity.ts'
import type { Dimensions } from '../policy/quota.ts'

export type NameOf = Identity['nameOf']

const MAY_BE_KEYS = ['providerKey', 'label1', 'label2'] as const

/** Puts the fingerprint in place of each. */
export function hideKeys(dims: Dimensions, nameOf: NameOf): void {
  for (const field of MAY_BE_KEYS) {
    const value = dims[field]
    if (value !== null) dims[field] = nameOf(value)
  }
}
