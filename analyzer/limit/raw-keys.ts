/** Raw keys in the place of names, where call records have fingerprints: of what a gateway hands on, and of what is asked for. */
import type { Identity } from '../../collector/identity.ts'
import type { Dimensions } from '../policy/quota.ts'

/** What call records have for a name that may be a raw key. */
export type NameOf = Identity['nameOf']

/** Puts the fingerprint in place of each; who calls has one by the doors. One by one, as it is done for every call. */
export function hideKeys(dims: Dimensions, nameOf: NameOf): void {
  if (dims.providerKey !== null) dims.providerKey = nameOf(dims.providerKey)
  if (dims.label1 !== null) dims.label1 = nameOf(dims.label1)
  if (dims.label2 !== null) dims.label2 = nameOf(dims.label2)
}

/** Why no call is known by these values of dimensions, none of which is to be kept; `null` where calls may be. */
export function rawKeyProblem(named: object, nameOf: NameOf): string | null {
  for (const [dimension, values] of Object.entries(named)) {
    for (const value of dimension === 'tenant' ? [] : [values].flat()) {
      const name = nameOf(String(value))
      if (name !== value)
        return `${dimension} is a raw key, which is kept nowhere: say ${name}, or the consumer that the keys of the config give it`
    }
  }
  return null
}
