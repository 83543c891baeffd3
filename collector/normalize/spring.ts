/**
 * The access log of reactor-netty, the server of Spring Cloud Gateway: the Common Log Format and the milliseconds that the
 * call took, behind whatever the logging of the application puts before a message.
 * https://docs.spring.io/spring-cloud-gateway/reference/spring-cloud-gateway-server-webflux/reactor-netty-access-logs.html
 */
import { isAccessLike, parseAccessLine } from './access-line.ts'
import { draftOfLine } from './clf.ts'
import { type Decode, type Dialect, refusal, SKIP } from './draft.ts'
import { durationOf, type Fields, isFields } from './fields.ts'

export const spring: Dialect = {
  name: 'spring',
  framing: { kind: 'text' },
  definition: 'spring',
  hasUnnamedSecrets: false,
  open: () => decode,
}

const LOGGER = /AccessLog\s{0,64}[:-]\s/

const decode: Decode = raw => {
  const message = isFields(raw) ? messageOf(raw) : raw
  if (typeof message !== 'string' || !isAccessLike(message)) return SKIP
  const line = parseAccessLine(withoutPrefix(message))
  if (line === null) return refusal('unreadable', "This is no line of reactor-netty's access log.")
  const draft = draftOfLine(line)
  draft.latencyMs = durationOf(line.words[2], 1)
  return draft
}

/** Structured logging of Spring Boot: Logstash's and ECS' names agree on the message. */
const messageOf = ({ message }: Fields) => message

/** Behind `… reactor.netty.http.server.AccessLog : `, however the name of the logger is shortened. */
function withoutPrefix(message: string): string {
  const logger = LOGGER.exec(message)
  // Behind the time, the name is somebody's path.
  if (logger === null || logger.index > message.indexOf('] "')) return message
  return message.slice(logger.index + logger[0].length)
}
