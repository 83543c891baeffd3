import { LimiterOptions } from '../../../analyzer/limiter.ts'
import { type ConfigSchema, fillDefaults } from '../../../deploy/config-values.ts'

/** The section `limiter` as config would complete it, its gRPC port any free one. */
export function limiterOptions(options: Record<string, unknown>): LimiterOptions {
  const schema = LimiterOptions as unknown as ConfigSchema
  const whole = fillDefaults(schema, options as Parameters<typeof fillDefaults>[1]) as unknown as LimiterOptions
  return { ...whole, grpc: { ...whole.grpc, port: 0 } }
}
