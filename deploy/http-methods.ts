/** Whoever asks a path with a method that it does not know is told which ones it does (RFC 9110: 405 and `Allow`). */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

class MethodError extends Error {
  readonly statusCode = 405
  readonly code = 'METHOD_NOT_ALLOWED'

  constructor(method: string, allowed: string) {
    super(`${method} is none of the methods of this path: ${allowed}`)
    this.name = 'MethodError'
  }
}

/** Notes what is registered on `server` from now on. What it answers is to be called when all of it is. */
export function refuseOtherMethods(server: FastifyInstance): () => void {
  const known = new Map<string, Set<string>>()
  server.addHook('onRoute', ({ url, method }) => {
    known.set(url, new Set([...(known.get(url) ?? []), ...[method].flat()]))
  })
  return () => {
    for (const [url, methods] of [...known]) {
      const allowed = [...methods].join(', ')
      // Before the body is read, which may be anything.
      const refuse = async (request: FastifyRequest, reply: FastifyReply) => {
        reply.header('allow', allowed)
        throw new MethodError(request.method, allowed)
      }
      const method = server.supportedMethods.filter(one => !methods.has(one))
      const options = { config: { access: 'open' }, schema: { hide: true }, exposeHeadRoute: false } as const
      if (method.length > 0) server.route({ ...options, url, method, onRequest: refuse, handler: refuse })
    }
  }
}
