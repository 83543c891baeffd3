/** Folders of LMDB that this process has open: with two handles on one environment it would wait for itself, for ever. */
import { mkdir, realpath } from 'node:fs/promises'

const claimed = new Set<string>()

/** Makes the folder where it is missing, for nobody else to look into. Answers how to give it back; `null` while this process has it open already. */
export async function claimFolder(dir: string): Promise<(() => void) | null> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const path = await realpath(dir)
  if (claimed.has(path)) return null
  claimed.add(path)
  let isOurs = true
  return () => {
    // Who closes twice must not give back what somebody else has by then.
    if (isOurs) claimed.delete(path)
    isOurs = false
  }
}
