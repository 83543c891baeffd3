/**
 * `npm run bench` measures everything, `npm run bench -- NAME …` some of it. Every figure of a README comes from here.
 * `--import-bytes 10000000000` is the size of the file that `import` reads.
 */
import { parseArgs } from 'node:util'
import { benchAnomalies } from './anomalies.ts'
import { benchBusy } from './busy.ts'
import { benchCheck } from './check.ts'
import { benchDecide } from './decide.ts'
import { benchDecode } from './decode.ts'
import { benchEstimates } from './estimates.ts'
import { benchForecast } from './forecast.ts'
import { benchImport } from './import.ts'
import { benchIngest } from './ingest.ts'
import { machineLine } from './machine.ts'
import { benchPanels } from './panels.ts'
import { benchReceive } from './receive.ts'
import { benchRls } from './rls.ts'
import { benchSliding } from './sliding.ts'
import { benchTick } from './tick.ts'

const BENCHES = {
  ingest: benchIngest,
  check: benchCheck,
  busy: benchBusy,
  rls: benchRls,
  decide: benchDecide,
  decode: benchDecode,
  receive: benchReceive,
  import: () => benchImport({ fileBytes }),
  estimates: benchEstimates,
  forecast: benchForecast,
  sliding: benchSliding,
  tick: benchTick,
  anomalies: benchAnomalies,
  panels: benchPanels,
}
type Name = keyof typeof BENCHES

const isName = (name: string): name is Name => name in BENCHES
const { values, positionals: asked } = parseArgs({
  options: { 'import-bytes': { type: 'string', default: String(2 ** 29) } },
  allowPositionals: true,
})
const fileBytes = Number(values['import-bytes'])
const unknown = asked.filter(name => !isName(name))
if (!(fileBytes > 0)) {
  process.stderr.write('--import-bytes is a number of bytes.\n')
  process.exit(2)
}
if (unknown.length > 0) {
  process.stderr.write(`No bench is called ${unknown.join(', ')}. There are: ${Object.keys(BENCHES).join(', ')}.\n`)
  process.exit(2)
}
process.stdout.write(`${machineLine()}\n\n`)
for (const name of asked.length > 0 ? asked.filter(isName) : (Object.keys(BENCHES) as Name[])) await BENCHES[name]()
