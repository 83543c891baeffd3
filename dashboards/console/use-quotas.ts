/** The quotas of which the reader may see a forecast. */
import type { NextAnswer } from '../../analyzer/api/next.ts'
import { useResource } from './use-resource.ts'

/** Their names, `resetting` of those of which trends are told; `null` until they are known. */
export const useQuotas = (): Pick<NextAnswer, 'quotas' | 'resetting'> | null =>
  useResource<NextAnswer>('/v1/forecasts/next?limit=1').answer
