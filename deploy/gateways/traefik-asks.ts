/** https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/forwardauth/ */
import type { AskingSetup, Destination } from './guide.ts'

const middleware = ({ limiterUrl, source, token }: Destination) => `http:
  middlewares:
    quotacast-source:
      headers:
        customRequestHeaders: { X-Quotacast-Gateway: ${source} }
    quotacast:
      forwardAuth:
        address: ${limiterUrl}/v1/auth/${token}
        trustForwardHeader: false
        authRequestHeaders: [Authorization, X-Api-Key, X-Quotacast-Gateway]
        authResponseHeaders: [X-Quotacast-Decision-Id]
        headerField: X-Quotacast-Consumer
  routers:
    api:
      rule: PathPrefix(\`/v1\`)
      service: app
      middlewares: [quotacast-source, quotacast]`

export const traefikAsks: readonly AskingSetup[] = [
  {
    title: 'With forwardAuth',
    run: { by: 'hand', version: 'Traefik 3.6.12', on: '2026-11-22' },
    steps: [
      {
        text: 'Put this into the dynamic configuration, with both middlewares, in this order, in each router that is to be limited. Traefik adds no header to its question: the token is part of the path, and the first middleware says which gateway asks, whatever clients say. Of what they send only the headers with keys are handed on.',
        snippet: { language: 'yaml', of: middleware },
      },
      {
        text: 'The access log above keeps `X-Quotacast-Decision-Id`, which joins a call to its question, and `ClientUsername` is then the consumer that the limiter knows by its key, so that both spend from one quota.',
      },
      {
        text: 'Traefik has no choice of what to do while the limiter is away: calls get 500, after 30 seconds where it is there and does not answer. Run more than one limiter behind the address, with Redis. Traefik’s own log then names the address: let its token have the scope `check` alone.',
      },
    ],
  },
]
