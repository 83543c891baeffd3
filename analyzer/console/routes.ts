/**
 * The console's page and what it loads. Nothing of it is about anybody, so it needs no token; all that it shows comes from
 * the same API as for everybody else, with the session of whoever logged in.
 */
import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Routes } from '../../collector/principal.ts'
import { type Asset, type Assets, loadAssets } from './assets.ts'

const KEPT_FOR_EVER = 'public, max-age=31536000, immutable'

/** In the order in which later rules win. */
const STYLES = ['vendor-uplot', 'base', 'frame', 'numbers', 'list', 'tables', 'dialog', 'chart', 'narrow'].map(
  name => `${name}.css`,
)

export function createConsoleRoutes(): Routes {
  const loaded = loadAssets()
  const page = pageOf(loaded)
  const options = { config: { access: 'open' }, schema: { hide: true } } as const
  return server => {
    server.addHook('onRequest', (_request, reply, done) => {
      reply.headers(page.headers)
      done()
    })
    server.get('/', options, (request, reply) => {
      reply.header('cache-control', 'no-cache').header('etag', page.etag)
      if (request.headers['if-none-match'] === page.etag) return reply.code(304).send()
      return reply.type('text/html; charset=utf-8').send(page.html)
    })
    for (const asset of loaded.assets) {
      server.get(pathOf(loaded, asset.name), options, (request, reply) => sendAsset(asset, request, reply))
    }
  }
}

function sendAsset({ type, body, zipped }: Asset, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply.type(type).header('cache-control', KEPT_FOR_EVER).header('vary', 'accept-encoding')
  if (!/\bgzip\b/.test(request.headers['accept-encoding'] ?? '')) return reply.send(body)
  return reply.header('content-encoding', 'gzip').send(zipped)
}

const pathOf = ({ version }: Assets, name: string) => `/console/${version}/${name}`

/** The one page, and the headers of everything that the console is made of. */
function pageOf(assets: Assets): { html: string; etag: string; headers: Record<string, string> } {
  const at = (name: string) => pathOf(assets, name)
  const imports = Object.fromEntries(Object.entries(assets.modules).map(([module, name]) => [module, at(name)]))
  const importMap = JSON.stringify({ imports })
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Quotacast</title>
<link rel="icon" href="${at('icon.svg')}">
${STYLES.map(name => `<link rel="stylesheet" href="${at(name)}">`).join('\n')}
<script type="importmap">${importMap}</script>
<script type="module" src="${at('main.ts')}"></script>
</head>
<body>
<div id="app"></div>
<noscript><main><h1>The console needs JavaScript</h1><p>Allow it for this page, or ask the API: <code>GET /v1/forecasts</code> has the same answers, <code>/openapi.json</code> describes them.</p></main></noscript>
</body>
</html>
`
  return {
    html,
    etag: `"${sha256(html)}"`,
    headers: {
      'content-security-policy': policyOf(importMap),
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
    },
  }
}

/** Scripts, styles and answers of this origin only; of inline scripts the import map alone, by its digest. */
const policyOf = (importMap: string): string =>
  [
    "default-src 'none'",
    `script-src 'self' 'sha256-${sha256(importMap)}'`,
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ')

const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64')
