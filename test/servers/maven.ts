/** Java programs for tests: their jars come from Maven once, into a cache outside of the tree. */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { MissingServerError } from './missing.ts'
import { programCheck } from './program.ts'

const run = promisify(execFile)
const DOWNLOAD_DEADLINE_MS = 300_000

export const mavenChecks: readonly (() => MissingServerError | null)[] = [
  programCheck('Java 17', 'java', ['-version'], 'apt-get install openjdk-17-jre-headless'),
  programCheck('Maven', 'mvn', ['--version'], 'apt-get install maven'),
]

/** `group:artifact:version`; without a version that of a list. */
type Coordinates = string

export interface Jars {
  /** Of the program, with its version: the name of its folder in the cache. */
  name: string
  jars: readonly Coordinates[]
  /** Lists of versions that go together. */
  lists?: readonly Coordinates[]
}

/** The folder that has the jars and all that they need. */
export async function ensureJars({ name, jars, lists = [] }: Jars): Promise<string> {
  const dir = join(homedir(), '.cache', 'quotacast', name)
  const lib = join(dir, 'lib')
  const complete = join(dir, 'complete')
  if (existsSync(complete)) return lib
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'pom.xml'), pomOf(jars, lists))
  const goal = ['-q', '-B', 'dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${lib}`]
  await run('mvn', goal, { cwd: dir, timeout: DOWNLOAD_DEADLINE_MS })
  writeFileSync(complete, '')
  return lib
}

const pomOf = (
  jars: readonly Coordinates[],
  lists: readonly Coordinates[],
) => `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>quotacast</groupId><artifactId>for-tests</artifactId><version>1</version>
  <dependencyManagement><dependencies>
    ${lists.map(list => dependency(list, '<type>pom</type><scope>import</scope>')).join('\n    ')}
  </dependencies></dependencyManagement>
  <dependencies>
    ${jars.map(jar => dependency(jar)).join('\n    ')}
  </dependencies>
</project>
`

function dependency(coordinates: Coordinates, more = ''): string {
  const [group, artifact, version] = coordinates.split(':')
  const its = version === undefined ? '' : `<version>${version}</version>`
  return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId>${its}${more}</dependency>`
}
