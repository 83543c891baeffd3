/** What `deploy/Dockerfile` makes, read without an engine: its instructions, and the tree that it runs. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { parse } from 'yaml'

export const REPOSITORY = new URL('../..', import.meta.url).pathname
export const readText = (file: string): string => readFileSync(join(REPOSITORY, file), 'utf8')
export const readYaml = (file: string) => parse(readText(file), { merge: true })

interface Instruction {
  stage: string
  name: string
  text: string
}

/** In order; continued lines are one, comments none. */
function readDockerfile(): Instruction[] {
  const lines = readText('deploy/Dockerfile')
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter(line => line.trim() !== '')
  let stage = ''
  return lines.map(line => {
    const [, name = '', text = ''] = /^(\S+)\s+(.*)$/.exec(line) ?? []
    if (name === 'FROM') stage = / AS (\S+)$/.exec(text)?.[1] ?? ''
    return { stage, name, text }
  })
}

/** What the instructions of this name say, in all stages or in one. */
export const instructions = (name: string, stage?: string): string[] =>
  readDockerfile()
    .filter(found => found.name === name && (stage === undefined || found.stage === stage))
    .map(({ text }) => text)

export type Image = 'embedded' | 'distributed'

/** That with which an image starts. */
export function imageEnvironment(image: Image): Record<string, string> {
  const pairs = ['ground', image].flatMap(stage => instructions('ENV', stage)).flatMap(text => text.split(/\s+/))
  return Object.fromEntries(pairs.map(pair => pair.split(/=(.*)/s).slice(0, 2)))
}

/** A pattern of `.dockerignore`: it matches whatever is below it, too, and `*` a leading dot. */
const toRegExp = (pattern: string) =>
  new RegExp(
    `^${pattern
      .replaceAll('.', '\\.')
      .replaceAll('**/', '(?:.*/)?')
      .replaceAll(/(?<!\.)\*/g, '[^/]*')}(?:/|$)`,
  )

/** Whether a file stays out of what is sent to the build; the last pattern that matches says so. */
export function isIgnored(file: string): boolean {
  const patterns = readText('.dockerignore')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
  return patterns.reduce((before, line) => {
    const isException = line.startsWith('!')
    return toRegExp(isException ? line.slice(1) : line).test(file) ? !isException : before
  }, false)
}

interface LockedPackage {
  dev?: boolean
  optional?: boolean
  devOptional?: boolean
}

/** Copies what an image has into `dir`, with the packages that its `npm ci` leaves. */
export function copyImage(dir: string, image: Image): void {
  const isSent = (file: string) => !isIgnored(relative(REPOSITORY, file))
  for (const name of readdirSync(REPOSITORY).filter(entry => !isIgnored(entry)))
    cpSync(join(REPOSITORY, name), join(dir, name), { recursive: true, filter: isSent })
  const { packages }: { packages: Record<string, LockedPackage> } = JSON.parse(readText('package-lock.json'))
  for (const [path, { dev, optional, devOptional }] of Object.entries(packages)) {
    const isOmitted = dev === true || (image === 'distributed' && (optional === true || devOptional === true))
    if (isOmitted || path.lastIndexOf('node_modules/') !== 0 || !existsSync(join(REPOSITORY, path))) continue
    mkdirSync(join(dir, dirname(path)), { recursive: true })
    symlinkSync(join(REPOSITORY, path), join(dir, path))
  }
}
