/** `npm run dashboards` writes `json/` and the table of the README. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BOARDS } from './boards.ts'
import { jsonFileOf, withPanelTable } from './json.ts'

const DIR = import.meta.dirname
const README = join(DIR, 'README.md')

for (const { name, content } of BOARDS.map(jsonFileOf)) writeFileSync(join(DIR, 'json', name), content)
writeFileSync(README, withPanelTable(readFileSync(README, 'utf8'), BOARDS))
