/** Spring Cloud Gateway: an application of one class, with classes and a log of the test's own. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { ensureJars, mavenChecks } from '../maven.ts'
import { type Gateway, startGateway } from './gateway.ts'

const run = promisify(execFile)

const CLOUD_VERSION = '2025.1.2'
const JARS = {
  name: `spring-${CLOUD_VERSION}`,
  // The compiler is among them: a Java that only runs programs has none.
  jars: ['org.springframework.cloud:spring-cloud-starter-gateway-server-webflux', 'org.eclipse.jdt:ecj:3.40.0'],
  lists: [
    'org.springframework.boot:spring-boot-dependencies:4.0.7',
    `org.springframework.cloud:spring-cloud-dependencies:${CLOUD_VERSION}`,
  ],
}
const COMPILE_DEADLINE_MS = 120_000
const START_DEADLINE_MS = 120_000
/** Quick to start, as it does not run for long. */
const QUICKLY = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xmx256m']

export const springChecks = mavenChecks

const PACKAGE = 'gateway'
const APPLICATION = `import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

@SpringBootApplication
public class Gateway {
  public static void main(String[] arguments) {
    SpringApplication.run(Gateway.class, arguments);
  }
}
`

export interface SpringParts {
  /** Where everything is handed on to. */
  backend: string
  /** Of its JVM. */
  options: readonly string[]
  /** Text of classes by their names, without the line of their package. */
  classes: Readonly<Record<string, string>>
  /** Elements of Logback's configuration. */
  logging: string
}

export async function startSpring(port: number, { backend, options, classes, logging }: SpringParts): Promise<Gateway> {
  const lib = await ensureJars(JARS)
  const compiled = mkdtempSync(join(tmpdir(), 'quotacast-spring-classes-'))
  const remove = () => rmSync(compiled, { recursive: true, force: true })
  try {
    await compile(compiled, lib, { ...classes, Gateway: APPLICATION })
    const gateway = await startGateway({
      name: 'spring',
      command: 'java',
      args: dir => [...QUICKLY, ...options, '-cp', `${dir}:${compiled}:${lib}/*`, `${PACKAGE}.Gateway`],
      files: () => ({
        'application.yaml': stringify(configFor(port, backend)),
        'logback-spring.xml': `<configuration>
  <include resource="org/springframework/boot/logging/logback/base.xml"/>
  ${logging}
</configuration>`,
      }),
      port,
      deadlineMs: START_DEADLINE_MS,
    })
    return {
      ...gateway,
      async stop() {
        await gateway.stop()
        remove()
      },
    }
  } catch (error) {
    remove()
    throw error
  }
}

async function compile(dir: string, lib: string, classes: Readonly<Record<string, string>>): Promise<void> {
  const files = Object.entries(classes).map(([name, text]) => {
    const file = join(dir, `${name}.java`)
    writeFileSync(file, `package ${PACKAGE};\n${text}`)
    return file
  })
  const compiler = ['-cp', `${lib}/*`, 'org.eclipse.jdt.internal.compiler.batch.Main', '-17', '-proc:none', '-nowarn']
  // It knows no `*` itself.
  const jars = readdirSync(lib).map(jar => join(lib, jar))
  const args = [...QUICKLY, ...compiler, '-cp', jars.join(':'), '-d', dir, ...files]
  await run('java', args, { timeout: COMPILE_DEADLINE_MS })
}

const configFor = (port: number, backend: string) => ({
  server: { address: '127.0.0.1', port },
  spring: {
    main: { 'banner-mode': 'off' },
    cloud: { gateway: { server: { webflux: { routes: [{ id: 'all', uri: backend, predicates: ['Path=/**'] }] } } } },
  },
})
