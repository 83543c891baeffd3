/**
 * What a browser loads for the console: our modules with their types stripped, the libraries as they are published, the
 * style. All of it lies under a path that changes with any of its bytes, so that browsers may keep it for ever.
 */
import { hash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire, stripTypeScriptTypes } from 'node:module'
import { dirname, extname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

const FOLDER = join(import.meta.dirname, '../../dashboards/console')
const VERSION_CHARACTERS = 16
const TYPES: Readonly<Record<string, string>> = {
  '.ts': 'text/javascript; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

export interface Asset {
  /** Below the path of all of them. */
  name: string
  type: string
  body: Buffer
  zipped: Buffer
}

export interface Assets {
  /** Another one when any byte is another one. */
  version: string
  assets: readonly Asset[]
  /** Names of modules as the sources import them, and of the assets that they are. */
  modules: Readonly<Record<string, string>>
}

/** Reads, strips and compresses everything once: a few hundred kB. Throws where a library is not installed. */
export function loadAssets(): Assets {
  const vendored = libraries()
  const own = readdirSync(FOLDER)
    .filter(name => extname(name) in TYPES)
    .sort()
    .map(name => toAsset(name, readOwn(name)))
  const assets = [...own, ...vendored.map(({ name, file }) => toAsset(name, readFileSync(file, 'utf8')))]
  const modules = vendored.flatMap(({ module, name }) => (module === null ? [] : [[module, name]]))
  return {
    version: hash('sha256', JSON.stringify(assets.map(({ name, body }) => [name, hash('sha256', body)]))).slice(
      0,
      VERSION_CHARACTERS,
    ),
    assets,
    modules: Object.fromEntries(modules),
  }
}

function readOwn(name: string): string {
  const source = readFileSync(join(FOLDER, name), 'utf8')
  return name.endsWith('.ts') ? stripTypeScriptTypes(source) : source
}

function toAsset(name: string, text: string): Asset {
  const body = Buffer.from(text)
  return { name, type: TYPES[extname(name)] ?? 'application/octet-stream', body, zipped: gzipSync(body) }
}

/** What the modules import, as modules of the browser: packages resolve to other files for Node. */
function libraries(): { module: string | null; name: string; file: string }[] {
  const { resolve } = createRequire(import.meta.url)
  const uplot = dirname(resolve('uplot'))
  return [
    { module: 'preact', name: 'vendor-preact.js', file: resolve('preact') },
    { module: 'preact/hooks', name: 'vendor-preact-hooks.js', file: resolve('preact/hooks') },
    { module: 'htm', name: 'vendor-htm.js', file: join(dirname(resolve('htm')), 'htm.mjs') },
    { module: 'uplot', name: 'vendor-uplot.js', file: join(uplot, 'uPlot.esm.js') },
    { module: null, name: 'vendor-uplot.css', file: join(uplot, 'uPlot.min.css') },
  ]
}
