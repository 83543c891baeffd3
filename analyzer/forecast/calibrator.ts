/** The calibrator that ships: trained by `npm run train` on all public series, with its card in the same file. */
import json from './calibrator.json' with { type: 'json' }
import { type Forest, toForest } from './trees.ts'

export const CALIBRATOR: Forest = toForest(json.forest)
