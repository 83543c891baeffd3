/** `npm ci` refuses a lock file that lacks one package for one platform, wherever it runs. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

interface LockedPackage {
  readonly optionalDependencies?: Record<string, string>
}

test('the lock file names what is optional, for every platform', () => {
  const lock: { packages: Record<string, LockedPackage> } = JSON.parse(
    readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8'),
  )
  const optional = Object.values(lock.packages).flatMap(({ optionalDependencies = {} }) =>
    Object.keys(optionalDependencies),
  )
  expect(optional).toContain('@chdb/lib-linux-arm64-gnu')
  expect(optional.filter(name => !(`node_modules/${name}` in lock.packages))).toEqual([])
})
