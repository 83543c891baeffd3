/**
 * - `STORE_UNAVAILABLE`: nobody answers, or the answer never came; what was asked for may have happened
 * - `STORE_FENCED`: another writer has taken the partition over; nothing was written
 * - `STORE_LOCKED`: another engine uses the data folder
 * - `STORE_UNSUPPORTED`: this platform or this server cannot be the store
 * - `STORE_SCHEMA`: the tables are not what this version expects
 */
export type StoreErrorCode =
  | 'STORE_UNAVAILABLE'
  | 'STORE_FENCED'
  | 'STORE_LOCKED'
  | 'STORE_UNSUPPORTED'
  | 'STORE_SCHEMA'

/** A failure of the store, not of what was asked of it. */
export class StoreError extends Error {
  readonly code: StoreErrorCode
  readonly retryable: boolean

  constructor(code: StoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'StoreError'
    this.code = code
    this.retryable = code === 'STORE_UNAVAILABLE' || code === 'STORE_LOCKED'
  }
}
