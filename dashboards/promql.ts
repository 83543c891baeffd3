/** Parts of expressions for Prometheus. */

/**
 * How often something rare happened in the time. Its counter begins with the first time, which `increase` does not see:
 * a series that was not there before counts whole.
 */
export const newly = (counter: string, range: string): string =>
  `(sum((${counter} unless ${counter} offset ${range}) or increase(${counter}[${range}])) or vector(0))`

/** With the role of the process that tells it, as `service_name`. */
export const ofRole = (expr: string): string =>
  `${expr} * on (job, instance, process) group_left (service_name) target_info`
