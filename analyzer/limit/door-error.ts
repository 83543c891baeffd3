/** Why a door does not answer with a decision; a denial is none of these. */
export type DoorErrorCode =
  | 'cost_exceeds_limit'
  | 'unknown_dimension'
  | 'tenant_forbidden'
  | 'header_invalid'
  | 'reservation_invalid'
  | 'cursor_invalid'
  | 'not_found'
  | 'quota_unknown'
  | 'subject_invalid'
  | 'reset_invalid'

/** What the caller has to mend before it can be decided. */
export class DoorError extends Error {
  readonly statusCode: 400 | 403 | 404
  readonly code: DoorErrorCode

  constructor(statusCode: 400 | 403 | 404, code: DoorErrorCode, message: string) {
    super(message)
    this.name = 'DoorError'
    this.statusCode = statusCode
    this.code = code
  }
}
