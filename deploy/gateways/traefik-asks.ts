/** https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/forwardauth/ */
import type { Destination, Setup } from './guide.ts'

const middleware = ({ limiterUrl, token }: Destination) => `http:
  middlewares:
    quotacast:
      forwardAuth:
        address: ${limiterUrl}/v1/auth/${token}
        authRequestHeaders: [Authorization, X-Api-Key]
        authResponseHeaders: [X-Quotacast-Decision-Id]
  routers:
    api:
      rule: PathPrefix(\`/v1\`)
      service: app
      middlewares: [quotacast]`

export const traefikAsks: readonly Setup[] = [
  {
    title: 'With forwardAuth',
    steps: [
      {
        text: 'Put this into the dynamic configuration, with the middleware in each router that is to be limited. Traefik adds no header to its question, so the token is part of the path; of what clients send only the headers with keys are handed on.',
        snippet: { language: 'yaml', of: middleware },
      },
      {
        text: 'The access log above keeps `X-Quotacast-Decision-Id`, which joins a call to its question.',
      },
      {
        text: 'Traefik has no choice of what to do while the limiter is away: calls get 500. Run more than one limiter behind the address, with Redis.',
      },
    ],
  },
]
