/**
 * What the log says of an error. Clients hang on their errors what they were doing, a login with its password too; and
 * some name an address with all that it holds.
 */
import { stdSerializers } from 'pino'
import { SECRET_SOURCE } from '../collector/identity.ts'

const shapedSecret = new RegExp(SECRET_SOURCE, 'gi')
const addressLogin = /(?<=:\/\/)[^\s/@"']{1,256}@/g

const withoutSecrets = (text: string) => text.replace(addressLogin, '***@').replace(shapedSecret, '***')

/** Type, message and stack with those of its causes, and whatever else is a plain value. */
export function loggedError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { raw: _raw, aggregateErrors, ...fields } = stdSerializers.err(error)
  const plain = Object.entries(fields)
    .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
    .map(([name, value]) => [name, typeof value === 'string' ? withoutSecrets(value) : value])
  const parts =
    'errors' in error && Array.isArray(error.errors) ? { aggregateErrors: error.errors.map(loggedError) } : {}
  return { ...Object.fromEntries(plain), ...parts }
}
