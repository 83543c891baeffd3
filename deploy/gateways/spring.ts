import type { Guide } from './guide.ts'
import { fileStep, shipperSetup } from './line-setups.ts'
import { springAsks } from './spring-asks.ts'

const SOURCE = { dialect: 'spring' }
const LOG_FILE = '/var/log/gateway/access.log'
const LOG_FILES = '/var/log/gateway/access.log*'

export const springGuide: Guide = {
  name: 'spring',
  title: 'Spring Cloud Gateway',
  dialect: 'spring',
  ways: ['file', 'otlp'],
  setups: [
    {
      title: 'From a file',
      steps: [
        {
          text: 'Turn the access log of reactor-netty on; it is a property of the JVM, not of Spring.',
          snippet: {
            language: 'sh',
            of: () => 'java -Dreactor.netty.http.server.accessLogEnabled=true -jar gateway.jar',
          },
        },
        {
          text: 'Give it a file of its own in `logback-spring.xml`. Within the log of the application it is understood as well.',
          snippet: {
            language: 'xml',
            of: () => `<appender name="access" class="ch.qos.logback.core.rolling.RollingFileAppender">
  <file>${LOG_FILE}</file>
  <rollingPolicy class="ch.qos.logback.core.rolling.SizeAndTimeBasedRollingPolicy">
    <fileNamePattern>${LOG_FILE}.%d.%i</fileNamePattern>
    <maxFileSize>100MB</maxFileSize>
    <maxHistory>7</maxHistory>
  </rollingPolicy>
  <encoder><pattern>%msg%n</pattern></encoder>
</appender>
<logger name="reactor.netty.http.server.AccessLog" level="INFO" additivity="false">
  <appender-ref ref="access"/>
</logger>`,
          },
        },
        fileStep(SOURCE, LOG_FILES),
      ],
    },
    shipperSetup(LOG_FILES),
    {
      title: 'By OTLP: spans of Micrometer',
      steps: [
        {
          text: 'Spans have the route and the upstream’s latency. With `spring-boot-starter-opentelemetry` on the class path (before Spring Boot 4 it was `micrometer-tracing-bridge-otel` and `opentelemetry-exporter-otlp`, and `management.otlp.tracing` instead of `management.opentelemetry.tracing.export.otlp`). All of them have to be sampled, since each is a call. `spring.application.name` is the gateway that they name: let the question below name it, too.',
          snippet: {
            language: 'yaml',
            of: ({ url, source, token }) => `management:
  tracing:
    sampling:
      probability: 1.0
  opentelemetry:
    tracing:
      export:
        otlp:
          endpoint: ${url}/v1/sources/${source}/v1/traces
          headers:
            Authorization: Bearer ${token}
spring:
  application:
    name: ${source}`,
          },
        },
        { text: 'Use either the spans or the access log: both at once count each call twice.' },
      ],
    },
  ],
  asks: springAsks,
  notes: [
    'The access log has no id, no route of Spring, no host and no caller but the user of basic authentication. Times are to the second.',
    'The access log misses calls whose clients close the connection as soon as they have the whole answer (seen with reactor-netty 1.3).',
    'A 429 counts as that of RedisRateLimiter (`limited`), since nothing shows whether an upstream was asked.',
    'Queries, and the keys in them, stay in the access log; they are dropped here, and a key in them names the caller.',
    'Other messages of the application are passed over.',
  ],
  hints: {
    upstreamLatencyMs: 'Send spans over OTLP instead: the access log does not tell it.',
    requestId: 'Send spans over OTLP instead: the access log has no id.',
    consumer: 'Send spans over OTLP instead, with the attribute `enduser.id`.',
  },
}
