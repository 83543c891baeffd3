import { spawnSync } from 'node:child_process'
import { MissingServerError } from './missing.ts'

/** Answers a check for a program on PATH. */
export const programCheck = (server: string, program: string, probe: readonly string[], install: string) => () =>
  spawnSync(program, probe, { stdio: 'ignore' }).error === undefined ? null : new MissingServerError(server, install)
