/**
 * The HTTP server of a role: bounds, authentication, validation, problem documents, health, metrics, OpenAPI. The parts
 * bring their routes; this is the only file that listens, so that tests can use `inject`.
 */
import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, {
  type FastifyInstance,
  type FastifyPluginAsync,
  type FastifySchema,
  type FastifySchemaCompiler,
} from 'fastify'
import type { Logger } from 'pino'
import Type, { type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import Value from 'typebox/value'
import { requireAllTenants } from '../collector/all-tenants.ts'
import type { QuickRoute, Readiness, Routes } from '../collector/principal.ts'
import { BodyError } from '../collector/receive/body.ts'
import { type ValueProblem, valueProblems } from './config-problems.ts'
import { fillDefaults, isObject, type Json } from './config-values.ts'
import { type GuardDeps, guardRoutes, principalOf } from './http-access.ts'
import { drain } from './http-closing.ts'
import { readJson } from './http-json.ts'
import { refuseOtherMethods } from './http-methods.ts'
import { refuseOddities } from './http-oddities.ts'
import { serveInTurn } from './http-pipelines.ts'
import { PROBLEMS_MAX, Problem, RequestError, sendBroken, sendProblem, TOO_MANY_WAITING } from './http-problems.ts'
import { serveQuickly } from './http-quick.ts'
import { measureRequests, traceRequests } from './http-telemetry.ts'
import { metricsFormat } from './metrics-format.ts'

/** A body's bound where its route states no other. */
const BODY_BYTES_MAX = 2 ** 20
/** Longest path parameter: a token in a forward-auth path. */
const PARAM_CHARACTERS_MAX = 512
const HEADERS_BYTES_MAX = 32 * 1024
/** A request that is not whole by then is cut off. */
const REQUEST_TIMEOUT_MS = 60_000
/** Longer than the idle time of common gateways and balancers, so that they close first and never write into a closed connection. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000
/** As JSON has them. */
const NUMBER = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/

export interface ServerDeps extends GuardDeps {
  role: string
  version: string
  log: Logger
  routes: readonly Routes[]
  /** Of the routes those that are asked most. */
  quick?: readonly QuickRoute[]
  /** Why the role cannot do its work now; empty when it can. */
  readiness: () => Promise<Readiness>
  /** In Prometheus' text format. */
  metrics: () => Promise<string>
  isTracing: boolean
}

/** A server with all its routes that does not listen yet. Rejects when a route states no `access`. */
export async function createServer(deps: ServerDeps): Promise<FastifyInstance> {
  const { log } = deps
  const server = Fastify({
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    forceCloseConnections: 'idle',
    // What still comes in on an open connection while the server closes is answered: the parts close after it.
    return503OnClosing: false,
    routerOptions: { maxParamLength: PARAM_CHARACTERS_MAX },
    rewriteUrl: ({ url = '/' }) => (url.includes('%') ? readableUrl(url) : url),
    // That there is none is told by us, as Node would answer nothing but the status.
    http: { maxHeaderSize: HEADERS_BYTES_MAX, requireHostHeader: false },
    frameworkErrors: (error, request, reply) => {
      sendProblem(error, request, reply, log)
    },
    clientErrorHandler: (error, socket) => sendBroken(error, socket, log),
  }).withTypeProvider<TypeBoxTypeProvider>()
  serveInTurn(server.server, (socket, isHeard) => {
    if (isHeard) sendBroken(Object.assign(new Error('too many requests wait'), { code: TOO_MANY_WAITING }), socket, log)
    else socket.destroy()
  })
  server.setValidatorCompiler(compileValidator)
  server.setErrorHandler((error: Error, request, reply) => sendProblem(error, request, reply, log))
  server.setNotFoundHandler((request, reply) => {
    const missing = Object.assign(new Error('there is nothing here'), { statusCode: 404, code: 'NOT_FOUND' })
    return sendProblem(missing, request, reply, log)
  })
  if (deps.isTracing) traceRequests(server)
  const record = measureRequests(server)
  refuseOddities(server, log)
  guardRoutes(server, deps)
  const addRefusals = refuseOtherMethods(server)
  // A text would be no body that any route reads.
  server.removeContentTypeParser('text/plain')
  readJson(server)
  // Routes that decompress read their bodies as bytes.
  server.addHook('preValidation', async ({ headers, body }) => {
    const encoding = headers['content-encoding'] ?? ''
    if (encoding === '' || encoding === 'identity' || body === undefined || body === null || Buffer.isBuffer(body))
      return
    const words = `The body is JSON as it is, and Content-Encoding says ${encoding}: leave that header out.`
    throw new BodyError('BODY_UNREADABLE', words)
  })
  server.addSchema(Problem)
  await server.register(swagger, openApi(deps))
  ownRoutes(server, deps)
  // Each part in a scope of its own: its body parsers and hooks are nobody else's.
  for (const routes of deps.routes) await server.register(toPlugin(routes))
  addRefusals()
  server.addHook('preClose', () => drain(server.server))
  // A span belongs to every request, and only the framework makes them.
  const { quick = [], verify, isTracing } = deps
  if (!isTracing && quick.length > 0)
    serveQuickly(server, { routes: quick, verify, record, log, keepAliveMs: KEEP_ALIVE_TIMEOUT_MS })
  await server.ready()
  return server
}

/** A path whose escapes make no sense is taken as it is written: it may be that of somebody's call (forward-auth). */
function readableUrl(url: string): string {
  const [path = ''] = url.split(/[?#]/, 1)
  try {
    decodeURI(path)
    return url
  } catch {
    return path.replaceAll('%', '%25') + url.slice(path.length)
  }
}

const toPlugin =
  (routes: Routes): FastifyPluginAsync =>
  async scope =>
    routes(scope)

/** Fastify's own validator coerces bodies and drops unknown keys in silence; a body is taken as it is or refused. */
const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart = 'request' }) => {
  const validator = Compile(schema)
  const whole =
    httpPart === 'body' ? wholeBody(schema) : (value: unknown) => fromTexts(schema, Value.Default(schema, value))
  return (value: unknown) => {
    const given = whole(value)
    if (validator.Check(given)) return { value: given }
    return {
      error: new RequestError(httpPart, valueProblems(schema, given).take(PROBLEMS_MAX).map(atPointer).toArray()),
    }
  }
}

/** Adds what has a default; most bodies have none, and are left alone. */
const wholeBody = (schema: TSchema): ((value: unknown) => unknown) =>
  JSON.stringify(schema).includes('"default":') ? value => fillDefaults(schema, value as Json) : value => value

/** As a JSON pointer (RFC 6901). */
const atPointer = ({ path, message }: ValueProblem) => ({
  path: path.map(key => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''),
  message,
})

/** Parameters come as texts. One that is no number stays one, and is refused: `1.9`, `true` and nothing at all are not 1 or 0. */
function fromTexts(schema: TSchema, parameters: unknown): unknown {
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> }
  const read = ([name, text]: [string, unknown]): [string, unknown] => {
    const type = Object.hasOwn(properties, name) ? properties[name]?.type : undefined
    const isNumber = (type === 'integer' || type === 'number') && typeof text === 'string' && NUMBER.test(text)
    const isBoolean = type === 'boolean' && (text === 'true' || text === 'false')
    return [name, isNumber ? Number(text) : isBoolean ? text === 'true' : text]
  }
  return Object.fromEntries(Object.entries(parameters ?? {}).map(read))
}

function openApi({ role, version }: ServerDeps): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: { title: `Quotacast ${role}`, version, description: 'Sees API quotas run out before they do.' },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer' },
          token: { type: 'apiKey', in: 'header', name: 'X-Quotacast-Token' },
        },
      },
      security: [{ bearer: [] }, { token: [] }],
    },
    transform: ({ schema, url }) => ({ url, schema: withProblems(schema) }),
    refResolver: { buildLocalReference: (json: { $id?: unknown }) => String(json.$id) },
  }
}

/** Every route may answer a problem; saying so at each of them would be the same lines again and again. */
function withProblems({ body, querystring, headers, response, ...schema }: FastifySchema = {}): FastifySchema {
  const problem = {
    description: 'Anything else is a problem document (RFC 9457).',
    content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } },
  }
  const asked = { body, querystring, headers }
  const given = Object.entries(asked).flatMap(([part, found]) => (found === undefined ? [] : [[part, asAsked(found)]]))
  const answers = Object.entries(response ?? {}).map(([status, answer]) => {
    if (Number(status) < 400) return [status, answer]
    // What a route answers to a failure in its own words, the framework may answer before it.
    const own = 'content' in answer ? answer.content : { 'application/json': { schema: answer } }
    return [
      status,
      { description: answer.description ?? 'In words of its own.', content: { ...problem.content, ...own } },
    ]
  })
  return { ...schema, ...Object.fromEntries(given), response: { ...Object.fromEntries(answers), default: problem } }
}

/** As whoever asks writes it: what has a default may be left out. */
const asAsked = (schema: unknown): unknown =>
  JSON.parse(JSON.stringify(schema), (_key, value) => {
    if (!isObject(value) || !Array.isArray(value.required) || !isObject(value.properties)) return value
    const { properties, required } = value
    const hasDefault = (name: unknown) => Object.hasOwn(Object(properties[String(name)]), 'default')
    return { ...value, required: required.filter(name => !hasDefault(name)) }
  })

const ReadinessAnswer = Type.Object({
  isReady: Type.Boolean(),
  reasons: Type.Array(Type.String(), { description: 'What is wrong; empty when nothing is.' }),
})

function ownRoutes(server: FastifyInstance, { role, version, readiness, metrics }: ServerDeps): void {
  const tags = ['itself']
  server.get(
    '/healthz',
    {
      config: { access: 'open' },
      schema: {
        summary: 'The process lives',
        description: 'Answers as long as the process can answer anything.',
        tags,
        security: [],
        response: { 200: Type.Object({ role: Type.String(), version: Type.String() }) },
      },
    },
    () => ({ role, version }),
  )
  server.get(
    '/readyz',
    {
      config: { access: 'open' },
      schema: {
        summary: 'The role can do what its callers need',
        description:
          '503 when it cannot: the log takes no calls, the first tick has not ended yet, the counters were never reached. ' +
          '200 when it can, also with reasons: a limiter decides while Redis is away, a collector accepts calls while the store is, ' +
          'and every role goes on with what held while it cannot read the control log.',
        tags,
        security: [],
        response: { 200: ReadinessAnswer, 503: ReadinessAnswer },
      },
    },
    async (_request, reply) => {
      const { isReady, reasons } = await readiness()
      reply.code(isReady ? 200 : 503)
      return { isReady, reasons }
    },
  )
  server.get(
    '/metrics',
    {
      config: { access: 'read' },
      schema: {
        summary: 'Metrics',
        description: 'Of all tenants, so not for a token that is bound to one.',
        tags,
        response: {
          200: {
            description: "Prometheus' text format, or that of OpenMetrics, as `Accept` says.",
            content: {
              'text/plain': { schema: Type.String() },
              'application/openmetrics-text': { schema: Type.String() },
            },
          },
        },
      },
    },
    async (request, reply) => {
      requireAllTenants(principalOf(request))
      const { contentType, write } = metricsFormat(request.headers.accept)
      reply.type(contentType).header('vary', 'Accept')
      return write(await metrics())
    },
  )
  server.get('/openapi.json', { config: { access: 'read' }, schema: { hide: true } }, () => server.swagger())
}
