/** The files that paths lead to, and how they are told apart. */
import type { BigIntStats } from 'node:fs'
import { glob, stat } from 'node:fs/promises'

/** Device and inode. */
export const identityOf = ({ dev, ino }: Pick<BigIntStats, 'dev' | 'ino'>): string => `${dev}:${ino}`

/** Another one when the file has been written. */
export const stateOf = ({ size, mtimeNs }: Pick<BigIntStats, 'size' | 'mtimeNs'>): string => `${size} ${mtimeNs}`

/** Regular files, the oldest first, so that a rotated one comes before the one that is written now. */
export async function foundFiles(patterns: readonly string[]) {
  const found: { path: string; identity: string; state: string; bytes: number; mtimeMs: number }[] = []
  for await (const path of glob(patterns)) {
    // It may have gone since.
    const stats = await stat(path, { bigint: true }).catch(() => null)
    if (!stats?.isFile()) continue
    const [bytes, mtimeMs] = [Number(stats.size), Number(stats.mtimeMs)]
    found.push({ path, identity: identityOf(stats), state: stateOf(stats), bytes, mtimeMs })
  }
  return found.sort((one, other) => one.mtimeMs - other.mtimeMs)
}
