/**
 * The dashboards of `dashboards/json`, put where Grafana finds them: into a folder of its provisioning, or into a running
 * Grafana by its HTTP API (https://grafana.com/docs/grafana/latest/developers/http_api/).
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'

const JSON_DIR = join(import.meta.dirname, '../../dashboards/json')
const FOLDER_UID = 'quotacast'
const REQUEST_TIMEOUT_MS = 30_000

const Dashboard = Type.Object({ uid: Type.String(), title: Type.String() })
type Dashboard = Static<typeof Dashboard>
const dashboard = Compile(Dashboard)

interface DashboardFile {
  name: string
  text: string
  content: Dashboard
}

/** Grafana refused something, or does not answer. */
class GrafanaError extends Error {
  readonly code = 'GRAFANA'

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'GrafanaError'
  }
}

async function readDashboards(): Promise<DashboardFile[]> {
  const names = (await readdir(JSON_DIR)).filter(name => name.endsWith('.json')).toSorted()
  return Promise.all(
    names.map(async name => {
      const text = await readFile(join(JSON_DIR, name), 'utf8')
      const content: unknown = JSON.parse(text)
      if (!dashboard.Check(content))
        throw new GrafanaError(`${name} is no dashboard: make it again with npm run dashboards`)
      return { name, text, content }
    }),
  )
}

/** Writes the files into the folder, which is made when it is missing. Answers their paths. */
export async function writeDashboards(dir: string): Promise<string[]> {
  const files = await readDashboards()
  await mkdir(dir, { recursive: true })
  for (const { name, text } of files) await writeFile(join(dir, name), text)
  return files.map(({ name }) => join(dir, name))
}

export interface GrafanaOptions {
  /** As a browser opens it, with its path if it has one. */
  url: string
  /** Of a service account that may write dashboards and folders. */
  token: string
  /** Title of the folder. */
  folder: string
}

/** Makes the folder where it is missing, and makes or replaces each dashboard. Answers their addresses. Throws `GrafanaError`. */
export async function installDashboards(grafana: GrafanaOptions): Promise<string[]> {
  const files = await readDashboards()
  await makeFolder(grafana)
  const urls: string[] = []
  for (const { content } of files) {
    const body = {
      dashboard: { ...content, id: null },
      folderUid: FOLDER_UID,
      overwrite: true,
      message: 'quotacast dashboards',
    }
    const { status, answer } = await ask(grafana, 'POST', '/api/dashboards/db', body)
    if (status !== 200 || answer.url === undefined)
      throw refusal(grafana, status, answer, `the dashboard ${content.title}`)
    urls.push(new URL(answer.url, grafana.url).href)
  }
  return urls
}

async function makeFolder(grafana: GrafanaOptions): Promise<void> {
  const found = await ask(grafana, 'GET', `/api/folders/${FOLDER_UID}`)
  if (found.status === 200) return
  if (found.status !== 404) throw refusal(grafana, found.status, found.answer, 'to look for the folder')
  const made = await ask(grafana, 'POST', '/api/folders', { uid: FOLDER_UID, title: grafana.folder })
  if (made.status !== 200) throw refusal(grafana, made.status, made.answer, `the folder ${grafana.folder}`)
}

/** What of Grafana's answers is looked at. */
interface Answer {
  message?: string
  /** Path of a dashboard. */
  url?: string
}

async function ask(
  { url, token }: GrafanaOptions,
  method: 'GET' | 'POST',
  path: string,
  body?: unknown,
): Promise<{ status: number; answer: Answer }> {
  let response: Response
  try {
    response = await fetch(`${url.replace(/\/+$/, '')}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      // A login page would answer 200.
      redirect: 'error',
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    })
  } catch (cause) {
    throw new GrafanaError(`Grafana does not answer at ${url}: is it running, and is that its root URL?`, { cause })
  }
  const answer = (await response.json().catch(() => null)) as Answer | null
  return { status: response.status, answer: answer ?? {} }
}

const NOT_GRAFANA = 'is the URL the root of Grafana, with its sub-path if it has one?'
const HINTS: Partial<Record<number, string>> = {
  200: NOT_GRAFANA,
  401: 'the token is not valid: make one for a service account and set QUOTACAST_GRAFANA__TOKEN',
  403: 'the service account needs the role Editor, or the permissions dashboards:create, dashboards:write and folders:create',
  404: NOT_GRAFANA,
  412: 'another dashboard or folder has that name, or it is provisioned from files and must be changed there',
}

function refusal({ url }: GrafanaOptions, status: number, { message }: Answer, what: string): GrafanaError {
  const said = message === undefined ? '' : ` (${message})`
  const hint = HINTS[status]
  return new GrafanaError(
    `Grafana at ${url} answers ${status} to ${what}${said}${hint === undefined ? '' : `: ${hint}`}`,
  )
}
