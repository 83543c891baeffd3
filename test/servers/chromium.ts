/** The system's Chromium, for tests of the console and for its pictures. */
import { type Browser, chromium } from 'playwright-core'
import { programCheck } from './program.ts'

const PROGRAM = 'chromium'

export const chromiumChecks = [programCheck('Chromium', PROGRAM, ['--version'], 'apt-get install chromium')]

/** Nothing that speaks with anybody but the pages that are opened. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export const launchChromium = (): Promise<Browser> =>
  chromium.launch({ executablePath: `/usr/bin/${PROGRAM}`, args: FLAGS })
