import type { Guide } from './guide.ts'
import { fileStep, shipperSetup, syslogStep } from './line-setups.ts'

const SOURCE = { dialect: 'clf' }
const LOG_FILES = '/var/log/gateway/access.log*'

export const clfGuide: Guide = {
  name: 'clf',
  title: 'Common Log Format and `combined`',
  dialect: 'clf',
  ways: ['file', 'syslog', 'otlp', 'http'],
  setups: [
    { title: 'From a file', steps: [fileStep(SOURCE, LOG_FILES)] },
    { title: 'By syslog', steps: [syslogStep(SOURCE, 'tcp')] },
    shipperSetup(LOG_FILES),
    {
      title: 'Over HTTP',
      steps: [
        {
          text: 'Send the lines as they are.',
          snippet: {
            language: 'sh',
            of: ({ url, source, token }) => `curl -sS ${url}/v1/sources/${source} \\
  -H 'Authorization: Bearer ${token}' \\
  -H 'Content-Type: text/plain' \\
  --data-binary @access.log`,
          },
        },
      ],
    },
  ],
  notes: [
    'It holds an address, a user, a time to the second, the request, its status and the bytes of the answer. There is no latency and no id: lines that a file holds are counted once, lines by syslog are as often as they come.',
    'What a program adds behind it is passed over, since nothing says what it means: use the dialect of the program (nginx, apache, traefik, spring), or a mapping.',
    'A 429 counts as the gateway’s own (`limited`), since nothing shows whether an upstream was asked.',
  ],
}
