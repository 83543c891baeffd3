/** Amazon API Gateway. https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-logging.html */
import { type Destination, type Guide, secureUrlOf } from './guide.ts'

/** The variables that both kinds of API have under the same name. */
const COMMON = {
  requestId: 'requestId',
  extId: 'extendedRequestId',
  ts: 'requestTimeEpoch',
  method: 'httpMethod',
  host: 'domainName',
  path: 'path',
  stage: 'stage',
  api: 'apiId',
  status: 'status',
  bytes_out: 'responseLength',
  lat: 'responseLatency',
  ip: 'identity.sourceIp',
  principal: 'authorizer.principalId',
  err: 'error.responseType',
}
const REST = {
  ...COMMON,
  ...{ route: 'resourcePath', up: 'integration.latency', up_status: 'integration.status', keyId: 'identity.apiKeyId' },
}
const HTTP = { ...COMMON, route: 'routeKey', up: 'integrationLatency', up_status: 'integrationStatus' }

const formatOf = (variables: Record<string, string>) =>
  `{${Object.entries(variables)
    .map(([name, variable]) => `"${name}":"$context.${variable}"`)
    .join(',')}}`

const STREAM = 'arn:aws:firehose:REGION:ACCOUNT:deliverystream/amazon-apigateway-quotacast'
const LOG_GROUP = 'API-GATEWAY-ACCESS'

/** Firehose knows no port but 443. */
function firehoseUrlOf(to: Destination): string {
  const url = new URL(secureUrlOf(to))
  url.port = ''
  return url.href
}

export const awsApiGatewayGuide: Guide = {
  name: 'aws-api-gateway',
  title: 'Amazon API Gateway',
  dialect: 'aws-api-gateway',
  ways: ['http', 'file'],
  setups: [
    {
      title: 'Over HTTPS, with Amazon Data Firehose',
      steps: [
        {
          text: 'Create a stream whose name begins with `amazon-apigateway-`. Firehose sends to nothing but HTTPS on port 443, with a certificate that everybody trusts: have a proxy there that hands on to the collector. It needs a bucket for what it could not deliver, and a role that may write there. Quotacast takes the access key as the token.',
          snippet: {
            language: 'sh',
            of: to => `aws firehose create-delivery-stream --delivery-stream-name amazon-apigateway-quotacast \\
  --delivery-stream-type DirectPut --http-endpoint-destination-configuration '{
    "EndpointConfiguration": {
      "Name": "quotacast",
      "Url": "${firehoseUrlOf(to)}",
      "AccessKey": "${to.token}"
    },
    "RequestConfiguration": { "ContentEncoding": "GZIP" },
    "BufferingHints": { "SizeInMBs": 1, "IntervalInSeconds": 5 },
    "RetryOptions": { "DurationInSeconds": 7200 },
    "S3BackupMode": "FailedDataOnly",
    "RoleARN": "ROLE_ARN",
    "S3Configuration": { "RoleARN": "ROLE_ARN", "BucketARN": "BUCKET_ARN" }
  }'`,
          },
        },
        {
          text: 'Let a stage of a REST API write to it:',
          snippet: {
            language: 'sh',
            of: () => `cat > access-log.json <<'JSON'
${JSON.stringify(
  [
    { op: 'replace', path: '/accessLogSettings/destinationArn', value: STREAM },
    { op: 'replace', path: '/accessLogSettings/format', value: formatOf(REST) },
  ],
  null,
  2,
)}
JSON
aws apigateway update-stage --rest-api-id API --stage-name STAGE --patch-operations file://access-log.json`,
          },
        },
      ],
    },
    {
      title: 'From CloudWatch Logs',
      steps: [
        {
          text: 'HTTP APIs write to a log group and to nothing else. They name some variables differently and have no API keys:',
          snippet: {
            language: 'sh',
            of: () => `cat > access-log.json <<'JSON'
${JSON.stringify({ DestinationArn: `arn:aws:logs:REGION:ACCOUNT:log-group:${LOG_GROUP}`, Format: formatOf(HTTP) }, null, 2)}
JSON
aws apigatewayv2 update-stage --api-id API --stage-name STAGE --access-log-settings file://access-log.json`,
          },
        },
        {
          text: 'A stage of a REST API may write there too, in the format above. Subscribe a stream as above to the log group (its name does not matter then). Quotacast unpacks what a subscription sends.',
          snippet: {
            language: 'sh',
            of: () => `aws logs put-subscription-filter --log-group-name ${LOG_GROUP} \\
  --filter-name quotacast --filter-pattern '' --destination-arn STREAM_ARN --role-arn ROLE_ARN`,
          },
        },
      ],
    },
  ],
  notes: [
    'Never log `$context.identity.apiKey`: it is the raw key. `apiKeyId` tells callers apart as well; list it in `keys` to give it a name. An authorizer’s principal is the consumer before it.',
    'Fields that you add under the names of the record in snake_case (`tenant`, `consumer`, `model`, `input_tokens` …) are taken: `"tenant":"$context.authorizer.tenant"`.',
    'A 429 of a usage plan or a throttle (`THROTTLED`, `QUOTA_EXCEEDED`) is `limited`, one of the integration is `exhausted`.',
    'API Gateway logs no bytes of requests, no headers of responses and no tokens; CloudFront or the integration may.',
    "AWS's JSON and CLF examples are read too, with what they hold. XML and CSV are not.",
  ],
  hints: {
    consumer: 'Use usage plans with API keys (`$context.identity.apiKeyId`), or an authorizer (`principal`).',
    tenant: 'Let the authorizer put it into its context: `"tenant":"$context.authorizer.tenant"`.',
    latencyMs: 'Log `"lat":"$context.responseLatency"`.',
    upstreamLatencyMs: 'Log `"up":"$context.integration.latency"` (HTTP APIs: `$context.integrationLatency`).',
    requestId: 'Log `"extId":"$context.extendedRequestId"`.',
  },
}
