import { programCheck } from '../program.ts'
import { type Gateway, startGateway } from './gateway.ts'

export const caddyChecks = [programCheck('Caddy', 'caddy', ['version'], 'apt-get install caddy')]

/** Caddy with the given sites; `http://127.0.0.1:PORT { … }`; and further global options. */
export const startCaddy = (port: number, sites: string, globalOptions = ''): Promise<Gateway> =>
  startGateway({
    name: 'caddy',
    // It keeps its config and its state in the user's folders else.
    command: 'env',
    args: dir => [
      `XDG_CONFIG_HOME=${dir}`,
      `XDG_DATA_HOME=${dir}`,
      'caddy',
      'run',
      '--config',
      `${dir}/Caddyfile`,
      '--adapter',
      'caddyfile',
    ],
    files: () => ({ Caddyfile: `{\n  admin off\n  auto_https off\n  ${globalOptions}\n}\n${sites}\n` }),
    port,
  })
