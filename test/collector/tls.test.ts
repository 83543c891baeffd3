import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readTls, tlsProblems } from '../../collector/tls.ts'

const run = promisify(execFile)
let dir: string
const file = (name: string) => join(dir, name)
const pem = (name: string) => readFile(file(name), 'utf8')

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quotacast-tls-'))
  const request = ['req', '-x509', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-days', '2']
  for (const name of ['server', 'client']) {
    const names = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}.test`]
    await run('openssl', [...request, ...names, '-keyout', file(`${name}.key`), '-out', file(`${name}.pem`)])
  }
  await run('openssl', ['pkey', '-in', file('client.key'), '-aes256', '-passout', 'pass:x', '-out', file('locked.key')])
  await writeFile(file('text'), 'not what is due')
  const damaged = (await pem('client.pem')).replaceAll(/(?<=CERTIFICATE-----\n).{40}/g, 'A'.repeat(40))
  await writeFile(file('damaged.pem'), (await pem('server.pem')) + damaged)
  await writeFile(file('both.pem'), `Two authorities:\n${await pem('server.pem')}${await pem('client.pem')}`)
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const OWN = { certFile: 'client.pem', keyFile: 'client.key' }
/** Names of files here stand for their paths. */
const read = (options: Record<string, string>) =>
  readTls(Object.fromEntries(Object.entries(options).map(([key, name]) => [key, file(name)])), 'log.tls')

describe('the files', () => {
  test('let both ends of a connection prove who they are', async () => {
    const listening = await read({ certFile: 'server.pem', keyFile: 'server.key', caFile: 'both.pem' })
    const server = createServer({ ...listening, requestCert: true, rejectUnauthorized: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>
    const files = { certFile: file('client.pem'), keyFile: file('client.key'), caFile: file('server.pem') }
    const client = await readTls({ ...files, serverName: 'server.test' }, 'log.tls')
    const socket = connect({ ...client, host: '127.0.0.1', port: (server.address() as AddressInfo).port })
    await once(socket, 'secureConnect')
    const [peer] = await accepted
    expect(peer.getPeerCertificate().subject.CN).toBe('client')
    expect(socket.getPeerCertificate().subject.CN).toBe('server')
    socket.destroy()
    server.close()
  })

  test('leave out what is not stated', async () => {
    expect(await read({})).toEqual({})
  })

  test.each([
    [{ caFile: 'nowhere' }, 'caFile: there is no such file'],
    [{ caFile: '.' }, 'caFile: the file cannot be read (EISDIR)'],
    [{ caFile: 'text' }, 'caFile: the file holds no certificate in PEM (-----BEGIN CERTIFICATE-----)'],
    [{ caFile: 'client.key' }, 'caFile: the file holds no certificate in PEM (-----BEGIN CERTIFICATE-----)'],
    [{ caFile: 'damaged.pem' }, 'caFile: certificate 2 of 2 in the file is damaged'],
    [{ ...OWN, certFile: 'nowhere' }, 'certFile: there is no such file'],
    [{ ...OWN, keyFile: 'text' }, 'keyFile: the file holds no private key in PEM (-----BEGIN PRIVATE KEY-----)'],
    [{ ...OWN, keyFile: 'client.pem' }, 'keyFile: the file holds no private key in PEM (-----BEGIN PRIVATE KEY-----)'],
    [{ ...OWN, keyFile: 'server.key' }, 'keyFile: is not the key of the first certificate in certFile'],
    [
      { ...OWN, keyFile: 'locked.key' },
      'keyFile: the key has a passphrase; write it without one: openssl pkey -in KEY -out KEY_WITHOUT',
    ],
  ])('are refused: %j', async (options, problem) => {
    await expect(read(options)).rejects.toMatchObject({ code: 'TLS_UNUSABLE', message: `log.tls.${problem}` })
  })

  test('that cannot be read are said to be', async () => {
    await mkdir(file('folder'))
    await expect(read({ caFile: 'folder' })).rejects.toThrow('log.tls.caFile: the file cannot be read (EISDIR)')
  })

  test('are not quoted by their names, which may be keys', async () => {
    const error = await readTls({ keyFile: 'hunter2' }, 'log.tls').catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ message: 'log.tls.keyFile: there is no such file' })
    expect(error).not.toHaveProperty('cause')
  })
})

test('a key where its path is due is told so, and not quoted', async () => {
  expect([...tlsProblems({ certFile: '/a', keyFile: await pem('client.key') }, 'log.tls')]).toEqual([
    'log.tls.keyFile: must be the path of a file, not what it holds; save the PEM text to a file and write its path',
  ])
})
