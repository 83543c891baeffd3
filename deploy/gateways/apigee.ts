/** Google Apigee. https://cloud.google.com/apigee/docs/api-platform/reference/policies/message-logging-policy */
import type { Guide } from './guide.ts'
import { DENIED_HEADER } from './limit-headers.ts'
import { syslogStep } from './line-setups.ts'

const VARIABLES: Readonly<Record<string, string>> = {
  ts: 'client.received.start.timestamp',
  end: 'client.sent.end.timestamp',
  t_start: 'target.sent.start.timestamp',
  t_end: 'target.received.end.timestamp',
  id: 'messageid',
  proxy: 'apiproxy.name',
  target: 'target.name',
  verb: 'request.verb',
  host: 'request.header.host',
  base: 'proxy.basepath',
  path: 'proxy.pathsuffix',
  status: 'message.status.code',
  t_status: 'response.status.code',
  bytes_in: 'request.header.content-length',
  bytes_out: 'response.header.content-length',
  ip: 'client.ip',
  app: 'developer.app.name',
  app_id: 'developer.app.id',
  developer: 'developer.id',
  product: 'apiproduct.name',
  fault: 'fault.name',
  'retry-after': 'response.header.retry-after',
  'x-ratelimit-remaining-requests': 'response.header.x-ratelimit-remaining-requests',
  'x-ratelimit-remaining-tokens': 'response.header.x-ratelimit-remaining-tokens',
  'x-ratelimit-reset-tokens': 'response.header.x-ratelimit-reset-tokens',
  [DENIED_HEADER]: `message.header.${DENIED_HEADER}`,
}

const MESSAGE = `{${Object.entries(VARIABLES)
  .map(([name, variable]) => `"${name}":"{${variable}}"`)
  .join(',')}}`

export const apigeeGuide: Guide = {
  name: 'apigee',
  title: 'Google Apigee',
  dialect: 'apigee',
  ways: ['syslog', 'http'],
  setups: [
    {
      title: 'Over syslog, with the policy MessageLogging',
      steps: [
        {
          text: 'Add the policy to a shared flow or a proxy:',
          snippet: {
            language: 'xml',
            of: ({ host, syslogPort }) => `<MessageLogging name="ML-Quotacast" continueOnError="true">
  <Syslog>
    <Message defaultVariableValue="">${MESSAGE}</Message>
    <Host>${host}</Host>
    <Port>${syslogPort}</Port>
    <Protocol>TCP</Protocol>
    <FormatMessage>true</FormatMessage>
    <DateFormat>yyMMdd-HH:mm:ss.SSS</DateFormat>
  </Syslog>
</MessageLogging>`,
          },
        },
        {
          text: 'Attach it where the answer has been sent already, or `client.sent.end.timestamp` is empty:',
          snippet: {
            language: 'xml',
            of: () => `<PostClientFlow>
  <Response>
    <Step><Name>ML-Quotacast</Name></Step>
  </Response>
</PostClientFlow>`,
          },
        },
        syslogStep({ dialect: 'apigee' }, 'tcp'),
      ],
    },
    {
      title: 'Through Cloud Logging',
      steps: [
        {
          text: 'With `<CloudLogging>` instead of `<Syslog>` and the same message (`contentType="application/json"`), a push subscription of Pub/Sub behind a log sink can hand the entries to a service that sends them on:',
          snippet: {
            language: 'sh',
            of: ({ url, source, token }) =>
              `curl -sS ${url}/v1/sources/${source} -H 'Authorization: Bearer ${token}' -H 'Content-Type: application/json' --data-binary @entries.json`,
          },
        },
      ],
    },
  ],
  notes: [
    'Never log `{client_id}` or `{request.queryparam.apikey}`: they are the raw key. The name of the app tells callers apart as well; its id may be listed in `keys`.',
    'Violations of the policies Quota and SpikeArrest are `limited`, a 429 of the target is `exhausted`.',
    'Tokens: let ExtractVariables read them from the answer (not of streams), and add `"input_tokens":"{…}"`, `"output_tokens":"{…}"` and `"model":"{…}"` to the message. Other fields of the record may be added in the same way.',
    'Sizes are those that `Content-Length` tells; chunked messages have none.',
    'The developer is the tenant. Apigee does not send again what got lost: for money, count where the calls go.',
  ],
  hints: {
    consumer: 'Verify the API key of the caller (VerifyAPIKey): then `developer.app.name` is known.',
    latencyMs: 'Attach the policy to the PostClientFlow.',
    inputTokens: 'Extract the tokens from the answer and add them to the message.',
    outputTokens: 'Extract the tokens from the answer and add them to the message.',
  },
}
