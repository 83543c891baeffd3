/** Another limit, or more to do, as it is wished for with two sliders. */

/** Sliders are logarithms: a quarter to four times, in twentieths of a doubling. */
const STEPS_PER_DOUBLING = 20
export const STEPS_MAX = 2 * STEPS_PER_DOUBLING

/** What is asked, in steps of the sliders. */
export interface Wish {
  limitSteps: number
  growthSteps: number
}
export const AS_IT_IS: Wish = { limitSteps: 0, growthSteps: 0 }

const factorOf = (steps: number): number => 2 ** (steps / STEPS_PER_DOUBLING)

/** The limit (`null` while it is unknown) and the growth of a wish. */
export const conditionsOf = ({ limitSteps, growthSteps }: Wish, limit: number | null) => ({
  limit:
    limitSteps === 0 || limit === null
      ? limit
      : Math.min(Number.MAX_SAFE_INTEGER, Math.round(limit * factorOf(limitSteps))),
  growth: Number(factorOf(growthSteps).toFixed(4)),
})
