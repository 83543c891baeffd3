import { programCheck } from '../program.ts'
import { type Gateway, startGateway } from './gateway.ts'

export const haproxyChecks = [programCheck('HAProxy', 'haproxy', ['-v'], 'apt-get install haproxy')]

/** HAProxy with the given sections. */
export const startHaproxy = (
  port: number,
  sections: string,
  files: Readonly<Record<string, string>> = {},
): Promise<Gateway> =>
  startGateway({
    name: 'haproxy',
    command: 'haproxy',
    args: dir => ['-f', `${dir}/haproxy.cfg`, '-db'],
    files: () => ({ ...files, 'haproxy.cfg': `${sections}\n` }),
    port,
  })
