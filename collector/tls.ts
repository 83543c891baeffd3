/** TLS as the config states it, with the same keys everywhere, and the one reader of the files that it names. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { unwatchFile, watchFile } from 'node:fs'
import { readFile } from 'node:fs/promises'
import Type, { type Static } from 'typebox'

/** Links too lead to what is looked at, as certbot and Kubernetes renew certificates. */
const LOOK_MS = 5_000

const text = (description: string) => Type.String({ minLength: 1, description })

/** Where we connect; `description` says when it is needed. */
export const tlsClientOptions = (description: string) =>
  Type.Object(
    {
      caFile: Type.Optional(
        text("Authorities that sign the server's certificate, PEM; absent: those that Node trusts."),
      ),
      certFile: Type.Optional(text('Certificate that we show, PEM, where the server asks for one.')),
      keyFile: Type.Optional(text('Its private key, PEM without a passphrase; belongs to `certFile`.')),
      serverName: Type.Optional(text("Name that the server's certificate must carry; absent: that of the address.")),
    },
    { additionalProperties: false, description },
  )
export type TlsClientOptions = Static<ReturnType<typeof tlsClientOptions>>

/** Where we listen. */
export const TlsServerOptions = Type.Object(
  {
    certFile: text('Certificate that we show, PEM.'),
    keyFile: text('Its private key, PEM without a passphrase.'),
    caFile: Type.Optional(
      text('Authorities, PEM: only senders with a certificate that they signed are heard; absent: all are.'),
    ),
  },
  {
    additionalProperties: false,
    description:
      'Encrypts the connections; absent: they are not. Renewed files are used within seconds, for connections that come then.',
  },
)
type TlsServerOptions = Static<typeof TlsServerOptions>

/** A file cannot be used. The message names its key in the config, and not the value: a private key may stand there. */
class TlsError extends Error {
  readonly code = 'TLS_UNUSABLE'

  constructor(message: string) {
    super(message)
    this.name = 'TlsError'
  }
}

/** As `node:tls` takes it; what the config does not state is absent. */
export interface TlsMaterial {
  ca?: string
  cert?: string
  key?: string
  servername?: string
}

/** What the schemas cannot say. `at` is where the options, of a client or a server, stand in the config. */
export function* tlsProblems(options: TlsClientOptions, at: string): Iterable<string> {
  for (const name of ['caFile', 'certFile', 'keyFile'] as const) {
    if (options[name]?.includes('-----BEGIN'))
      yield `${at}.${name}: must be the path of a file, not what it holds; save the PEM text to a file and write its path`
  }
  if ((options.certFile === undefined) !== (options.keyFile === undefined))
    yield `${at}: certFile and keyFile belong together`
}

/** Throws `TlsError` when a file cannot be read or holds something else, and when the key is that of another certificate. */
export async function readTls(options: TlsClientOptions, at: string): Promise<TlsMaterial> {
  const { caFile, certFile, keyFile, serverName } = options
  const [ca, cert, key] = await Promise.all([
    readPem(caFile, `${at}.caFile`, parseCertificates),
    readPem(certFile, `${at}.certFile`, parseCertificates),
    readPem(keyFile, `${at}.keyFile`, parseKey),
  ])
  if (cert !== undefined && key !== undefined && cert.parsed[0]?.checkPrivateKey(key.parsed) === false)
    throw new TlsError(`${at}.keyFile: is not the key of the first certificate in certFile`)
  const material = { ca: ca?.pem, cert: cert?.pem, key: key?.pem, servername: serverName }
  return Object.fromEntries(Object.entries(material).filter(([, value]) => value !== undefined))
}

/**
 * Calls `renewed` each time that the files have changed and can be used, `refused` when they cannot: they are written one
 * after the other. Answers what ends it.
 */
export function followTls(
  options: TlsServerOptions,
  at: string,
  { renewed, refused }: { renewed: (material: TlsMaterial) => void; refused: (error: unknown) => void },
): () => void {
  const files = [options.certFile, options.keyFile, options.caFile].filter(file => file !== undefined)
  const read = () => void readTls(options, at).then(renewed).catch(refused)
  for (const file of files) watchFile(file, { interval: LOOK_MS, persistent: false }, read)
  return () => {
    for (const file of files) unwatchFile(file, read)
  }
}

async function readPem<T>(file: string | undefined, at: string, parse: (pem: string) => T) {
  if (file === undefined) return undefined
  const pem = await readFile(file, 'utf8').catch(({ code }: NodeJS.ErrnoException) => {
    throw new TlsError(`${at}: ${code === 'ENOENT' ? 'there is no such file' : `the file cannot be read (${code})`}`)
  })
  try {
    return { pem, parsed: parse(pem) }
  } catch (error) {
    throw error instanceof TlsError ? new TlsError(`${at}: ${error.message}`) : error
  }
}

/** One by one: OpenSSL reads the first only, and `node:tls` passes over authorities that are none. */
function parseCertificates(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN ([A-Z0-9 ]*CERTIFICATE)-----[\s\S]+?-----END \1-----/g)
  if (blocks === null) throw new TlsError('the file holds no certificate in PEM (-----BEGIN CERTIFICATE-----)')
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block)
    } catch {
      throw new TlsError(`certificate ${index + 1} of ${blocks.length} in the file is damaged`)
    }
  })
}

function parseKey(pem: string) {
  if (/-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(pem))
    throw new TlsError('the key has a passphrase; write it without one: openssl pkey -in KEY -out KEY_WITHOUT')
  try {
    return createPrivateKey(pem)
  } catch {
    throw new TlsError('the file holds no private key in PEM (-----BEGIN PRIVATE KEY-----)')
  }
}
