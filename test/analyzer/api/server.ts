/** A server with nothing but the routes under test: validation as in the product, and a caller as the test says. */
import Fastify, { type FastifyInstance } from 'fastify'
import { Compile } from 'typebox/compile'
import Value from 'typebox/value'
import type { Principal, Routes } from '../../../collector/principal.ts'

/** Who calls: the tenant of the header `x-tenant`, or one that may see all. */
export const principalOf = (request: { headers: Record<string, unknown> }): Principal => ({
  name: 'test',
  scopes: new Set(['read']),
  tenant: typeof request.headers['x-tenant'] === 'string' ? request.headers['x-tenant'] : null,
})

/** Query strings are defaulted, converted, and refused when they have what no schema knows. */
export async function testServer(routes: readonly Routes[]): Promise<FastifyInstance> {
  const server = Fastify()
  server.setValidatorCompiler(({ schema }) => {
    const validator = Compile(schema as never)
    return value => {
      const converted = Value.Convert(schema as never, Value.Default(schema as never, value))
      if (validator.Check(converted)) return { value: converted }
      return { error: Object.assign(new Error('invalid'), { statusCode: 400 }) }
    }
  })
  for (const one of routes) await one(server)
  return server
}
