import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

/** What LMDB does when it opens an environment while another process commits; closing the file here would give our locks up. */
const SET_BACK = `
  const { openSync, readSync, writeSync } = require('node:fs')
  const [file, number] = [openSync(process.argv[1], 'r+'), new BigInt64Array(1)]
  readSync(file, number, 0, 8, 8)
  number[0]--
  writeSync(file, number, 0, 8, 8)
`

/** Hides the last commit of the environment in `dir`. */
export const setBack = (dir: string): void =>
  void execFileSync(process.execPath, ['-e', SET_BACK, join(dir, 'lock.mdb')])
