/**
 * `npm run screenshots`: pictures over the demo of every page of the console in `data/screenshots`, of some of them for the
 * README in `dashboards/console/pictures`, and of what the dashboards show in `dashboards/pictures`.
 */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../free-ports.ts'
import { chromiumChecks, launchChromium } from '../servers/chromium.ts'
import { whatIsMissing } from '../servers/missing.ts'
import { pictureBoards } from './boards.ts'
import { pictureConsole } from './console.ts'
import { type Demo, startDemo } from './demo.ts'
import { type Prometheus, prometheusCheck, startPrometheus } from './prometheus.ts'

const REPOSITORY = new URL('../..', import.meta.url).pathname
const ALL = join(REPOSITORY, 'data/screenshots')
const OF_CONSOLE = join(REPOSITORY, 'dashboards/console/pictures')
const OF_BOARDS = join(REPOSITORY, 'dashboards/pictures')
/** Scrapes that make a line. */
const MEASURED_MS = 600_000

const missing = whatIsMissing(chromiumChecks)
if (missing === null) await takePictures()
else {
  process.stderr.write(`${missing}\n`)
  process.exitCode = 1
}

async function takePictures(): Promise<void> {
  const demo = await startDemo()
  const prometheus = await openPrometheus(demo)
  const browser = await launchChromium()
  try {
    await pictureConsole(browser, demo, { all: ALL, ofReadme: OF_CONSOLE })
    if (prometheus !== null) await sleep(Math.max(0, prometheus.range().fromMs + MEASURED_MS - Date.now()))
    await pictureBoards(browser, demo, { dir: OF_BOARDS, prometheus })
  } finally {
    await browser.close()
    await prometheus?.stop()
    await demo.stop()
  }
  process.stdout.write(`Pictures: ${ALL}, ${OF_CONSOLE}, ${OF_BOARDS}.\n`)
}

/** Without one, panels that need it say so. */
async function openPrometheus({ dir, tokenFile, rolePorts }: Demo): Promise<Prometheus | null> {
  const missing = whatIsMissing([prometheusCheck])
  if (missing !== null) {
    process.stderr.write(`${missing} Its panels stay empty.\n`)
    return null
  }
  const [port = 0] = await freePorts(1)
  return startPrometheus({ dir: join(dir, 'prometheus'), port, ports: rolePorts, tokenFile })
}
