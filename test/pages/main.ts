/** `npm run pages`: writes the pages of the gateways, the fields they fill, and the tables of sources and of metrics. */
import { writeFileSync } from 'node:fs'
import { allPages, pathOf } from './pages.ts'

const pages = allPages()
for (const [page, text] of pages) writeFileSync(pathOf(page), text)
process.stdout.write(`${pages.size} pages written.\n`)
