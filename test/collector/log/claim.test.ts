import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { claimFolder } from '../../../collector/log/claim.ts'
import { writeState } from '../../../collector/receive/state-file.ts'

test('folders that are missing are made for their owner alone, whoever comes first', async () => {
  const root = await mkdtemp(join(tmpdir(), 'quotacast-'))
  await claimFolder(join(root, 'data/log/control'))
  await writeState(join(root, 'other/sources/edge.json'), {})
  for (const folder of ['data', 'data/log', 'data/log/control', 'other', 'other/sources'])
    expect([folder, (await stat(join(root, folder))).mode & 0o777]).toEqual([folder, 0o700])
  await rm(root, { recursive: true })
})
