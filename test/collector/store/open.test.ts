import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { promisify } from 'node:util'
import pino from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClickHouseStoreOptions } from '../../../collector/store/clickhouse-options.ts'
import { openCredentials } from '../../../collector/store/credentials.ts'
import { migrate } from '../../../collector/store/migrate.ts'
import { openStore } from '../../../collector/store/open.ts'
import { storeContract } from '../../contract/store.ts'
import { describeWith } from '../../servers/describe-with.ts'
import { programCheck } from '../../servers/program.ts'
import { openTestStore, type TestStore } from '../../store-fixture.ts'

const log = pino({ level: 'silent' })
const NOWHERE = { dir: '/nowhere', log }

/** The engine of the embedded store, as a server that somebody else runs. */
async function startServer(): Promise<{ opened: TestStore; options: ClickHouseStoreOptions }> {
  const opened = await openTestStore()
  const { quotacast: password } = await openCredentials(opened.dir)
  const options: ClickHouseStoreOptions = {
    kind: 'clickhouse',
    url: opened.store.url,
    username: 'quotacast',
    password,
    database: 'calls_of_ours',
  }
  return { opened, options }
}

describe('a ClickHouse server as a store', () => {
  storeContract(async () => {
    const { opened, options } = await startServer()
    const store = await openStore(options, NOWHERE)
    await migrate(store, { log })
    expect(await store.ping()).toBeNull()
    return {
      store,
      headers: { 'X-ClickHouse-User': options.username, 'X-ClickHouse-Key': options.password },
      async close() {
        await store.close()
        await opened.close()
      },
    }
  })
})

describe('a server', () => {
  let opened: TestStore
  let options: ClickHouseStoreOptions
  beforeAll(async () => {
    ;({ opened, options } = await startServer())
  })
  afterAll(() => opened?.close())

  test('keeps the tables of another database apart', async () => {
    const store = await openStore(options, NOWHERE)
    expect(await migrate(store, { log })).not.toEqual([])
    await store.client.command({ query: 'DROP TABLE calls' })
    expect(await opened.rows('SELECT count() AS n FROM calls')).toEqual([{ n: 0 }])
    await store.close()
  })

  test('that does not know the password is said to refuse us', async () => {
    const store = await openStore({ ...options, password: 'guess' }, NOWHERE)
    expect(await store.ping()).toMatch(/authentication failed/i)
    await store.close()
  })

  test('that is too old is refused, with both versions', async () => {
    const old = createHttpServer((request, response) => {
      request.resume().on('end', () => response.end('{"value":"25.8.3.1"}\n'))
    })
    await new Promise<void>(resolve => old.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(old.address() as AddressInfo).port}`
    const store = await openStore({ ...options, url }, NOWHERE)
    await expect(migrate(store, { log })).rejects.toMatchObject({
      code: 'STORE_UNSUPPORTED',
      message: expect.stringMatching(/25\.8\.3\.1 is too old: 26\.7/),
    })
    await store.close()
    old.close()
  })

  test('whose authority we have no certificate of is not guessed at', async () => {
    const tls = { caFile: '/nowhere/ca.pem' }
    await expect(openStore({ ...options, tls }, NOWHERE)).rejects.toThrow('store.tls.caFile: there is no such file')
  })
})

describeWith([programCheck('OpenSSL', 'openssl', ['version'], 'apt-get install openssl')], 'a server with TLS', () => {
  let opened: TestStore
  let options: ClickHouseStoreOptions
  let dir: string
  /** Names that the callers' certificates had. */
  const certificates: unknown[] = []
  let stop: () => void
  beforeAll(async () => {
    ;({ opened, options } = await startServer())
    dir = mkdtempSync(join(tmpdir(), 'quotacast-tls-'))
    const [caFile, keyFile] = [join(dir, 'ca.pem'), join(dir, 'key.pem')]
    const request = ['req', '-x509', '-nodes', '-newkey', 'rsa:2048', '-days', '2', '-subj', '/CN=127.0.0.1']
    const names = ['-addext', 'subjectAltName=IP:127.0.0.1,DNS:store.test']
    await promisify(execFile)('openssl', [...request, ...names, '-keyout', keyFile, '-out', caFile])
    const [cert, key] = [readFileSync(caFile), readFileSync(keyFile)]
    const pem = { cert, key, ca: cert, requestCert: true, rejectUnauthorized: false }
    const { port } = new URL(options.url)
    const proxy = createTlsServer(pem, socket => {
      certificates.push(socket.getPeerCertificate().subject?.CN ?? null)
      const inner = connect(Number(port), '127.0.0.1')
      socket.pipe(inner).pipe(socket)
      socket.on('error', () => inner.destroy())
      inner.on('error', () => socket.destroy())
    })
    await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
    stop = () => proxy.close()
    options = { ...options, url: `https://127.0.0.1:${(proxy.address() as AddressInfo).port}`, tls: { caFile } }
  })
  afterAll(async () => {
    stop?.()
    await opened?.close()
    rmSync(dir, { recursive: true, force: true })
  })

  test('is believed by its authority', async () => {
    const store = await openStore(options, NOWHERE)
    expect(await store.ping()).toBeNull()
    await store.close()
  })

  test('is not believed without', async () => {
    const { tls: _, ...unknown } = options
    const store = await openStore(unknown, NOWHERE)
    expect(await store.ping()).toMatch(/certificate/)
    await store.close()
  })

  test('is believed by the name that is expected of it', async () => {
    for (const [serverName, problem] of [
      ['store.test', null],
      ['other.test', expect.stringContaining('other.test')],
    ] as const) {
      const store = await openStore({ ...options, tls: { ...options.tls, serverName } }, NOWHERE)
      expect(await store.ping()).toEqual(problem)
      await store.close()
    }
  })

  test('is shown our certificate instead of a password', async () => {
    const caFile = options.tls?.caFile ?? ''
    const tls = { caFile, certFile: caFile, keyFile: join(dir, 'key.pem') }
    certificates.length = 0
    const store = await openStore({ ...options, password: '', tls }, NOWHERE)
    // The engine behind the proxy has not seen it, but knows what was meant.
    expect(await store.ping()).toMatch(/SSL certificate/)
    expect(certificates).toEqual(['127.0.0.1'])
    await store.close()
  })
})
