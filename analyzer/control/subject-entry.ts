/** Names in the control log for what is kept by subject. */
import { hash } from 'node:crypto'

const HEX_DIGITS = 32

/** The key of what is kept for one subject (by its `subjectKey`) of a quota: bounded, whatever the subject's values are. */
export const subjectEntryKey = (quota: string, subjectKey: string): string =>
  `${quota}:${hash('sha256', subjectKey, 'hex').slice(0, HEX_DIGITS)}`
