import { type Command, type Invocation, UsageError } from '../command.ts'
import { installDashboards, writeDashboards } from '../grafana/install.ts'

export const command: Command = {
  usage: '--out DIR | --grafana URL',
  description:
    'Puts the Grafana dashboards where Grafana finds them: as files for its provisioning, or into a running Grafana by its ' +
    'HTTP API, into the folder that the config names (`grafana.folder`). What was there under the same ids is replaced. ' +
    'The token is `grafana.token` of the config, or QUOTACAST_GRAFANA__TOKEN in the environment: that of a service ' +
    'account with the role Editor.',
  options: {
    out: { type: 'string', value: 'DIR', description: 'Folder to write the JSON files to.' },
    grafana: { type: 'string', value: 'URL', description: 'Root URL of a Grafana, as http://127.0.0.1:3000.' },
  },
  examples: ['dashboards --out /etc/grafana/dashboards/quotacast', 'dashboards --grafana http://127.0.0.1:3000'],
  async run(invocation) {
    const [out, url] = [invocation.text('out'), invocation.text('grafana')]
    if ((out === undefined) === (url === undefined)) throw new UsageError('one of --out and --grafana is needed')
    const places = out === undefined ? await install(invocation, url ?? '') : await writeDashboards(out)
    if (invocation.isJson) invocation.print(JSON.stringify(places))
    else for (const place of places) invocation.print(place)
    return 0
  },
}

async function install(invocation: Invocation, url: string): Promise<string[]> {
  if (!URL.canParse(url)) throw new UsageError('--grafana: this is not a URL')
  const { username, password } = new URL(url)
  if (username !== '' || password !== '')
    throw new UsageError('--grafana: a URL without a login, as Grafana is told the token')
  const { token, folder } = (await invocation.config()).grafana
  if (token === undefined)
    throw new UsageError('there is no token for Grafana: set QUOTACAST_GRAFANA__TOKEN, or grafana.token in the config')
  return installDashboards({ url, token, folder })
}
