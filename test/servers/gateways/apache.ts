import { programCheck } from '../program.ts'
import { type Gateway, startGateway } from './gateway.ts'

export const apacheChecks = [programCheck('Apache httpd', 'apache2', ['-v'], 'apt-get install apache2')]

const MODULES_DIR = '/usr/lib/apache2/modules'
const MODULES = [
  'mpm_event',
  'authz_core',
  'unique_id',
  'logio',
  'proxy',
  'proxy_http',
  'log_config',
  'headers',
  'lua',
  'rewrite',
  'setenvif',
]
/** Part of the program in some builds. */
const BUILT_IN = new Set(['log_config', 'logio'])

/** Apache httpd with the given directives; `Listen` is there. */
export const startApache = (port: number, directives: string): Promise<Gateway> =>
  startGateway({
    name: 'apache',
    command: 'apache2',
    args: dir => ['-D', 'FOREGROUND', '-f', `${dir}/httpd.conf`],
    files: dir => ({ 'httpd.conf': configFor(dir, port, directives) }),
    port,
  })

const configFor = (dir: string, port: number, directives: string) => `
ServerRoot ${dir}
ServerName 127.0.0.1
DefaultRuntimeDir ${dir}
PidFile ${dir}/httpd.pid
Listen 127.0.0.1:${port}
ErrorLog ${dir}/error.log
${MODULES.filter(name => !BUILT_IN.has(name))
  .map(name => `LoadModule ${name}_module ${MODULES_DIR}/mod_${name}.so`)
  .join('\n')}
${directives}
`
