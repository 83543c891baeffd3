import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nginxChecks } from '../../servers/gateways/nginx.ts'
import { startProcess } from '../../servers/process.ts'
import { programCheck } from '../../servers/program.ts'
import { AI, nginxTells, startGuidedNginx } from './nginx.ts'
import { type Place, type Subject, snippetAt } from './subject.ts'

const rsyslogChecks = [programCheck('rsyslog', 'rsyslogd', ['-v'], 'apt-get install rsyslog')]

/** The daemon that ships the file of a gateway. */
function startRsyslog(dir: string, config: string) {
  const stateDir = join(dir, 'rsyslog')
  mkdirSync(stateDir)
  const configFile = join(stateDir, 'rsyslog.conf')
  writeFileSync(configFile, `global(workDirectory="${stateDir}" maxMessageSize="64k")\n${config}\n`)
  const args = ['-n', '-f', configFile, '-i', join(stateDir, 'rsyslog.pid')]
  return startProcess('rsyslogd', args, { cwd: stateDir, logFile: join(stateDir, 'output.log') })
}

async function start(place: Place) {
  const gateway = await startGuidedNginx(place)
  const daemon = startRsyslog(place.dir, snippetAt(place, 3))
  return {
    async stop() {
      await daemon.stop()
      await gateway.stop()
    },
  }
}

export const rsyslogSubjects: readonly Subject[] = [
  {
    name: 'nginx-rsyslog',
    guide: 'nginx',
    setups: ['From a file', AI, 'From another machine: rsyslog'],
    folder: '/var/log/nginx',
    checks: [...nginxChecks, ...rsyslogChecks],
    start,
    tells: nginxTells,
  },
]
