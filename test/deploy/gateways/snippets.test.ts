/** What pages tell to paste, against what its vendor says of it. */
import { expect, test } from 'vitest'
import type { Destination } from '../../../deploy/gateways/guide.ts'
import { GUIDES } from '../../../deploy/gateways/guides.ts'
import { EXAMPLE_DESTINATION } from '../../../deploy/gateways/render.ts'

/** The snippets of a guide's own steps, in their order. */
function snippetsOf(guide: string, to: Partial<Destination> = {}): string[] {
  const found = GUIDES.find(({ name }) => name === guide)
  if (found === undefined) throw new Error(`there is no guide ${guide}`)
  return [...found.setups, ...(found.asks ?? [])].flatMap(({ steps }) =>
    steps.flatMap(({ snippet }) => snippet?.of({ ...EXAMPLE_DESTINATION, source: guide, ...to }) ?? []),
  )
}

const snippetWith = (guide: string, text: string) => {
  const found = snippetsOf(guide).find(snippet => snippet.includes(text))
  if (found === undefined) throw new Error(`the guide ${guide} has no snippet with ${text}`)
  return found
}

test('Firehose is given an address on the only port that it knows', () => {
  for (const url of ['http://quotacast:7411', 'https://quotacast.example:8443', 'https://quotacast.example']) {
    const [snippet = ''] = snippetsOf('aws-api-gateway', { url })
    expect(new URL(/"Url": "([^"]+)"/.exec(snippet)?.[1] ?? '')).toMatchObject({
      protocol: 'https:',
      port: '',
      pathname: '/v1/sources/aws-api-gateway',
    })
  }
})

test('an HTTP API of AWS, which writes to CloudWatch Logs alone, is told to', () => {
  expect(snippetWith('aws-api-gateway', 'apigatewayv2')).toContain('"DestinationArn": "arn:aws:logs:')
  expect(snippetWith('aws-api-gateway', 'update-stage --rest-api-id')).toContain('arn:aws:firehose:')
})
