/** Quotas of the config that name raw keys, which calls are not known by: they would never count, and the key would stand in a file. */
import { rawKeyProblem } from '../analyzer/limit/raw-keys.ts'
import type { QuotaOptions } from '../analyzer/policy/quota-options.ts'
import { createIdentity, looksLikeSecret } from '../collector/identity.ts'
import { knownFingerprintKeys, type Secrets, SecretsError } from './secrets.ts'

interface Quotas {
  quotas: readonly Pick<QuotaOptions, 'match'>[]
  dataDir: string
  secrets: Partial<Secrets>
}

export function* rawKeyProblems({ quotas, dataDir, secrets }: Quotas): Iterable<string> {
  const nameOf = (text: string) => (looksLikeSecret(text) ? fingerprintOf(text, { dataDir, secrets }) : text)
  for (const [index, { match }] of quotas.entries()) {
    for (const [dimension, values] of Object.entries(match)) {
      for (const [at, value] of [values].flat().entries()) {
        const problem = rawKeyProblem({ [dimension]: value }, nameOf)
        const place = Array.isArray(values) ? `${dimension}[${at}]` : dimension
        if (problem !== null) yield `quotas[${index}].match.${place}: ${problem}`
      }
    }
  }
}

/** Nothing is made for it: who only checks a config leaves the data folder as it is. */
function fingerprintOf(rawKey: string, { dataDir, secrets }: Omit<Quotas, 'quotas'>): string {
  const fingerprintKeys = keysOf(dataDir, secrets)
  if (fingerprintKeys === null)
    return 'its fingerprint (key:…, told here once the first start has made secrets.json in the data folder)'
  return createIdentity({ fingerprintKeys, keys: [] }).fingerprint(rawKey)
}

function keysOf(dataDir: string, secrets: Partial<Secrets>): readonly string[] | null {
  try {
    return knownFingerprintKeys(dataDir, secrets)
  } catch (error) {
    // The role that needs the file says what is wrong with it.
    if (error instanceof SecretsError) return null
    throw error
  }
}
