export type ControlErrorCode = 'VERSION_CONFLICT' | 'ALREADY_EXISTS' | 'NOT_FOUND' | 'VALUE_INVALID' | 'NOT_FOLDED'

const STATUS_CODES = {
  VERSION_CONFLICT: 409,
  ALREADY_EXISTS: 409,
  NOT_FOUND: 404,
  VALUE_INVALID: 400,
  NOT_FOLDED: 503,
} as const

/** A change that did not come to hold. `NOT_FOLDED`: it was appended, and whether it holds is not known yet. */
export class ControlError extends Error {
  readonly code: ControlErrorCode
  readonly statusCode: number

  constructor(code: ControlErrorCode, message: string) {
    super(message)
    this.name = 'ControlError'
    this.code = code
    this.statusCode = STATUS_CODES[code]
  }
}

/** True where somebody else changed it first. */
export const isOvertaken = (error: unknown): boolean =>
  error instanceof ControlError && error.code === 'VERSION_CONFLICT'
