import { programCheck } from '../program.ts'
import { type Gateway, startGateway } from './gateway.ts'

export const nginxChecks = [programCheck('nginx', 'nginx', ['-v'], 'apt-get install nginx-light')]

/** nginx with the given directives in its `http` block. */
export const startNginx = (port: number, http: string): Promise<Gateway> =>
  startGateway({
    name: 'nginx',
    command: 'nginx',
    args: dir => ['-p', dir, '-e', 'stderr', '-c', `${dir}/nginx.conf`, '-g', 'daemon off;'],
    files: dir => ({ 'nginx.conf': configFor(dir, http), 'tmp/keep': '' }),
    port,
  })

const TEMP_PATHS = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']

/** Its workers would be somebody else, whom the folder is closed to. */
const user = process.getuid?.() === 0 ? 'user root;' : ''

const configFor = (dir: string, http: string) => `
${user}
worker_processes 1;
pid ${dir}/nginx.pid;
events { worker_connections 256; }
http {
  ${TEMP_PATHS.map(name => `${name}_temp_path ${dir}/tmp/${name};`).join('\n  ')}
  ${http}
}
`
