/** What makes one broker of a test listen with TLS, for users that sign in with a password. */
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const LOGIN = 'org.apache.kafka.common.security'

/** PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 are offered. */
export interface SecureListener {
  address: string
  /** PEM file of the authority that signed its certificate. */
  caFile: string
  username: string
  password: string
}

const user = { username: 'quotacast', password: 'correct-horse' }

/** Arguments of `format` that make the user known for SCRAM. */
export const scramUsers = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap(mechanism => [
  '--add-scram',
  `${mechanism}=[name=${user.username},password=${user.password}]`,
])

/** Makes a certificate for 127.0.0.1, signed by itself, in `dir`. */
export async function makeSecureListener(dir: string, port: number) {
  const [caFile, keyFile, keystoreFile] = ['ca.pem', 'key.pem', 'keystore.pem'].map(name => join(dir, name)) as [
    string,
    string,
    string,
  ]
  const request = ['req', '-x509', '-nodes', '-newkey', 'rsa:2048', '-days', '2', '-subj', '/CN=127.0.0.1']
  const names = ['-addext', 'subjectAltName=IP:127.0.0.1']
  await run('openssl', [...request, ...names, '-keyout', keyFile, '-out', caFile])
  writeFileSync(keystoreFile, readFileSync(keyFile, 'utf8') + readFileSync(caFile, 'utf8'))
  const listener: SecureListener = { address: `127.0.0.1:${port}`, caFile, ...user }
  const of = 'listener.name.secure'
  const properties = [
    'sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    `${of}.plain.sasl.jaas.config=${LOGIN}.plain.PlainLoginModule required user_${user.username}="${user.password}";`,
    `${of}.scram-sha-256.sasl.jaas.config=${LOGIN}.scram.ScramLoginModule required;`,
    `${of}.scram-sha-512.sasl.jaas.config=${LOGIN}.scram.ScramLoginModule required;`,
    `${of}.ssl.keystore.type=PEM`,
    `${of}.ssl.keystore.location=${keystoreFile}`,
  ]
  return { listener, properties }
}
